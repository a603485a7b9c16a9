local sql, time = require("sql"), require("time")

local function main(keep)
	local db = assert(sql.get("app:db"))
	for _, table in ipairs({
		"users (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, score REAL)",
		"orders (user_id INTEGER, item TEXT, amount INTEGER, PRIMARY KEY (user_id, item)) WITHOUT ROWID",
		"runs (id INTEGER PRIMARY KEY, state TEXT)",
	}) do
		assert(db:execute("DROP TABLE IF EXISTS " .. table:match("%w+")))
		assert(db:execute("CREATE TABLE " .. table))
	end
	assert(db:execute("INSERT INTO runs VALUES (1, 'working')"))
	assert(db:execute("INSERT INTO users (name, score) VALUES (?, ?), (?, ?)", { "ada", 1.5, "grace", sql.NULL }))
	assert(db:execute("UPDATE users SET score = 2 WHERE name = ?", { "grace" }))
	assert(db:execute("DELETE FROM users WHERE name = 'ada'"))

	local tx = assert(db:begin()) -- its changes arrive together, when it commits
	assert(tx:execute("INSERT INTO users (id, name) VALUES (10, 'alan')"))
	assert(tx:execute("INSERT INTO orders VALUES (10, 'book', 1)"))
	assert(tx:execute("UPDATE orders SET amount = amount + 1"))
	assert(tx:commit())

	tx = assert(db:begin()) -- of this one nothing arrives
	assert(tx:execute("INSERT INTO users (name) VALUES ('rolled back')"))
	assert(tx:rollback())

	tx = assert(db:begin()) -- of this one the row 20 arrives
	assert(tx:execute("INSERT INTO users (id, name) VALUES (20, 'kept')"))
	assert(tx:savepoint("maybe"))
	assert(tx:execute("INSERT INTO users (id, name) VALUES (21, 'undone')"))
	assert(tx:rollback_to("maybe"))
	local _, err = tx:execute("INSERT INTO users (id, name) VALUES (22, 'undone, too'), (23, 'kept')")
	assert(errors.is(err, errors.ALREADY_EXISTS)) -- UNIQUE refuses row 23, and SQLite takes row 22 back
	assert(tx:commit())

	assert(db:execute("UPDATE runs SET state = 'done'"))
	while keep do
		time.sleep("1s")
		assert(db:execute("UPDATE users SET score = coalesce(score, 0) + 1 WHERE name = 'kept'"))
	end
end

return { main = main }
