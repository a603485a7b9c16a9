-- Sells things, and compares what was sold with what was audited.
local io, sql, time = require("io"), require("sql"), require("time")

-- What was there before the auditor came for the first time is in its snapshot.
local AUDITED = [[SELECT count(DISTINCT json_extract(after, '$.id')) AS n FROM entries WHERE op IN ('insert', 'snapshot')]]

local function count(db, query) return assert(db:query(query))[1].n end

local function main()
	local shop, audit = assert(sql.get("app:shop")), assert(sql.get("app:audit"))
	assert(shop:execute("CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, item TEXT)"))
	for i = 1, 100 do
		assert(shop:execute("INSERT INTO orders (item) VALUES (?)", { "item " .. i }))
	end
	local sold = count(shop, "SELECT count(*) AS n FROM orders")
	repeat time.sleep("10ms") until count(audit, AUDITED) >= sold
	io.print(sold .. " sold, " .. count(audit, AUDITED) .. " audited")
end

return { main = main }
