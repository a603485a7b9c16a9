-- Terminates the process whose name is typed.
local sql, io = require("sql"), require("io")

local function main()
	for name in io.readline do
		local db = sql.get("app:pids")
		local rows = db and db:query("SELECT pid FROM pids WHERE name = ?", { name }) or {}
		if rows[1] then
			process.terminate(rows[1].pid)
		end
		io.print("killed", name)
	end
end

return { main = main }
