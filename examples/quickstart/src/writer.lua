-- Changes app:db in all the ways there are. Only what is committed is ever seen by a watcher.
local sql = require("sql")
local time = require("time")

local function setup(db)
	for _, table in ipairs({ "users", "orders", "runs" }) do
		assert(db:execute("DROP TABLE IF EXISTS " .. table))
	end
	assert(db:execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, score REAL)"))
	assert(db:execute("CREATE TABLE orders (user_id INTEGER, item TEXT, amount INTEGER, PRIMARY KEY (user_id, item)) WITHOUT ROWID"))
	assert(db:execute("CREATE TABLE runs (id INTEGER PRIMARY KEY, state TEXT)"))
end

-- Each statement outside a transaction commits by itself.
local function single_statements(db)
	assert(db:execute("INSERT INTO runs VALUES (1, 'working')"))
	assert(db:execute("INSERT INTO users (name, score) VALUES (?, ?), (?, ?)", { "ada", 1.5, "grace", sql.NULL }))
	assert(db:execute("UPDATE users SET score = 2 WHERE name = ?", { "grace" }))
	assert(db:execute("DELETE FROM users WHERE name = ?", { "ada" }))
end

-- All of a transaction arrives together, when it commits.
local function transaction(db)
	local tx = assert(db:begin())
	assert(tx:execute("INSERT INTO users (id, name) VALUES (10, 'alan')"))
	assert(tx:execute("INSERT INTO orders VALUES (10, 'book', 1)"))
	assert(tx:execute("UPDATE orders SET amount = amount + 1"))
	assert(tx:commit())
end

-- Nothing of a transaction that is rolled back arrives.
local function rolled_back(db)
	local tx = assert(db:begin())
	assert(tx:execute("INSERT INTO users (name) VALUES ('nobody')"))
	assert(tx:rollback())
end

-- What a savepoint undoes does not arrive, although its transaction commits. Neither does what a statement has
-- changed before it failed: the second row here violates UNIQUE, so the first one is undone as well.
local function savepoint(db)
	local tx = assert(db:begin())
	assert(tx:execute("INSERT INTO users (id, name) VALUES (20, 'kept')"))
	assert(tx:savepoint("maybe"))
	assert(tx:execute("INSERT INTO users (id, name) VALUES (21, 'undone')"))
	assert(tx:rollback_to("maybe"))
	local _, err = tx:execute("INSERT INTO users (id, name) VALUES (22, 'undone, too'), (23, 'kept')")
	assert(errors.is(err, errors.ALREADY_EXISTS))
	assert(tx:commit())
end

local function main(keep)
	local db = assert(sql.get("app:db"))
	setup(db)
	single_statements(db)
	transaction(db)
	rolled_back(db)
	savepoint(db)
	assert(db:execute("UPDATE runs SET state = 'done'"))
	while keep do
		time.sleep("1s")
		assert(db:execute("UPDATE users SET score = coalesce(score, 0) + 1 WHERE name = 'kept'"))
	end
end

return { main = main }
