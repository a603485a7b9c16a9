-- Takes orders, some of which are withdrawn, and waits until all others are confirmed.
local io, sql, time = require("io"), require("sql"), require("time")

local function count(db, table) return assert(db:query("SELECT count(*) AS n FROM " .. table))[1].n end

-- The order and the message are committed together, or neither is.
local function order(shop, item, withdrawn)
	local tx = assert(shop:begin())
	assert(tx:execute("INSERT INTO orders (item) VALUES (?)", { item }))
	assert(tx:execute("INSERT INTO outbox (body) VALUES (?)", { "confirm " .. item }))
	if withdrawn then assert(tx:rollback()) else assert(tx:commit()) end
end

local function main()
	local shop, elsewhere = assert(sql.get("app:shop")), assert(sql.get("app:elsewhere"))
	assert(shop:execute("CREATE TABLE IF NOT EXISTS outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL)"))
	assert(shop:execute("CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, item TEXT)"))
	assert(elsewhere:execute("CREATE TABLE IF NOT EXISTS received (id INTEGER PRIMARY KEY, body TEXT NOT NULL)"))
	local first = count(shop, "orders")
	for i = first + 1, first + 100 do
		order(shop, "item " .. i, i % 10 == 0)
	end
	repeat time.sleep("10ms") until count(shop, "outbox") == 0
	io.print(count(shop, "orders") .. " ordered, " .. count(elsewhere, "received") .. " confirmed")
end

return { main = main }
