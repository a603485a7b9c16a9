-- Delivers each message of the outbox, in the order in which they were committed, and deletes it from there. A message
-- comes again if the app ends in between: its ID tells that.
local cdc, sql = require("cdc"), require("sql")

local function main()
	local shop, elsewhere = assert(sql.get("app:shop")), assert(sql.get("app:elsewhere"))
	assert(shop:execute("CREATE TABLE IF NOT EXISTS outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL)"))
	assert(elsewhere:execute("CREATE TABLE IF NOT EXISTS received (id INTEGER PRIMARY KEY, body TEXT NOT NULL)"))
	local options = { consumer = "relay", snapshot = true, tables = { "outbox" }, ops = { "insert" } }
	return cdc.follow("app:cdc", options, function(change)
		local message = change.after
		assert(elsewhere:execute("INSERT OR IGNORE INTO received VALUES (?, ?)", { message.id, message.body }))
		assert(shop:execute("DELETE FROM outbox WHERE id = ?", { message.id }))
	end)
end

return { main = main }
