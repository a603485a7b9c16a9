-- Changes app:db. Placeholders are those of Postgres.
local sql = require("sql")

local function main()
	local db = assert(sql.get("app:db"))
	assert(db:execute("INSERT INTO users (id, name, active) VALUES ($1, $2, $3)", { 1, "ada", true }))

	-- All of a transaction arrives together, without what a savepoint has undone.
	local tx = assert(db:begin())
	assert(tx:execute("INSERT INTO users (id, name) VALUES ($1, $2)", { 2, "grace" }))
	assert(tx:savepoint("maybe"))
	assert(tx:execute("INSERT INTO users (id, name) VALUES (3, 'undone')"))
	assert(tx:rollback_to("maybe"))
	assert(tx:execute("INSERT INTO orders VALUES (1, 2, '{\"item\": \"tea\"}', 12.50)"))
	assert(tx:commit())

	assert(db:execute("UPDATE users SET id = 4 WHERE id = 2"))
	assert(db:execute("DELETE FROM orders"))
end

return { main = main }
