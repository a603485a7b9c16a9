-- Sells things, and compares what was sold with what was audited.
local io, sql, time = require("io"), require("sql"), require("time")

local function count(db, query) return assert(db:query(query))[1].n end

local function main()
	local shop, audit = assert(sql.get("app:shop")), assert(sql.get("app:audit"))
	assert(shop:execute("CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, item TEXT)"))
	for i = 1, 100 do
		assert(shop:execute("INSERT INTO orders (item) VALUES (?)", { "item " .. i }))
	end
	local sold = count(shop, "SELECT count(*) AS n FROM orders")
	repeat
		time.sleep("10ms")
		local audited = count(audit, "SELECT count(*) AS n FROM entries WHERE op = 'insert'")
	until audited >= sold
	io.print(sold .. " sold, " .. count(audit, "SELECT count(*) AS n FROM entries WHERE op = 'insert'") .. " audited")
end

return { main = main }
