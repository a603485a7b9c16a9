-- Numbers rows without a gap, a few in each transaction, for as long as it is told to write; then writes a last one.
local sql, time = require("sql"), require("time")
local known = require("known")

-- Returns the highest number there is: after a failed commit it is not known whether it has happened.
local function highest(db)
	assert(db:execute("CREATE TABLE IF NOT EXISTS rows (n INTEGER PRIMARY KEY, text TEXT)"))
	return assert(db:query("SELECT coalesce(max(n), 0) AS n FROM rows"))[1].n
end

-- Writes count rows and returns the highest number that is committed. Some rounds undo a part of it, or everything.
local function transaction(db, n, count, text, round)
	local tx = assert(db:begin())
	for i = 1, count do
		assert(tx:execute("INSERT INTO rows VALUES (?, ?)", { n + i, text }))
	end
	if round % 7 == 0 then
		assert(tx:savepoint("s"))
		assert(tx:execute("INSERT INTO rows VALUES (?, 'undone')", { n + count + 1 }))
		assert(tx:rollback_to("s"))
	end
	if round % 11 == 0 then
		assert(tx:rollback())
		return n
	end
	assert(tx:commit())
	return n + count
end

local function write(goes_on)
	local db = assert(sql.get("app:db"))
	local n = highest(db)
	if not goes_on then
		assert(db:execute("INSERT INTO rows VALUES (?, 'the end')", { n + 1 }))
		return
	end
	for round = 1, math.huge do
		n = transaction(db, n, round % 3 + 1, ("x"):rep(round % 200), round)
		if round % 50 == 0 then
			time.sleep("1ms")
		end
	end
end

local function main(goes_on)
	known("writer")
	while true do
		-- The database is replaced now and then, under whatever is going on.
		local done, err = pcall(write, goes_on)
		if done then
			return
		end
		if not (errors.is(err) and (err:retryable() or errors.is(err, errors.CANCELED))) then
			error(err)
		end
		time.sleep("1ms")
	end
end

return { main = main }
