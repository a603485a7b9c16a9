-- Writes each change to the audit database, once: a change that comes again after a crash has the same cursor.
local cdc, json, sql = require("cdc"), require("json"), require("sql")

local function main()
	local audit = assert(sql.get("app:audit"))
	assert(audit:execute([[CREATE TABLE IF NOT EXISTS entries (
		cursor TEXT PRIMARY KEY, committed_at REAL, op TEXT, tbl TEXT, before TEXT, after TEXT)]]))
	return cdc.follow("app:cdc", { consumer = "audit", snapshot = true, schema = true }, function(change)
		assert(audit:execute("INSERT OR IGNORE INTO entries VALUES (?, ?, ?, ?, ?, ?)", {
			change.cursor, change.timestamp, change.op, change.table,
			change.before and assert(json.encode(change.before)) or sql.NULL,
			change.after and assert(json.encode(change.after)) or sql.NULL,
		}))
	end)
end

return { main = main }
