-- Makes a process known to the killer. The database may be just being replaced.
local sql, time = require("sql"), require("time")

return function(name)
	while true do
		local db = sql.get("app:pids")
		if db and db:execute("CREATE TABLE IF NOT EXISTS pids (name TEXT PRIMARY KEY, pid TEXT)")
			and db:execute("INSERT OR REPLACE INTO pids VALUES (?, ?)", { name, process.pid() }) then
			return
		end
		time.sleep("1ms")
	end
end
