local sql, time = require("sql"), require("time")

local function main()
	local db = assert(sql.get("app:db"))
	assert(db:execute("CREATE TABLE IF NOT EXISTS visits (id INTEGER PRIMARY KEY, page TEXT, at REAL)"))
	while true do
		assert(db:execute("INSERT INTO visits (page, at) VALUES ('/', unixepoch('subsec'))"))
		time.sleep("1s")
	end
end

return { main = main }
