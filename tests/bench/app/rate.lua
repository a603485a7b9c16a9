-- Returns the nanoseconds that a row takes from the log to this script, and those that tables alike take in a loop.
local cdc, sql, time = require("cdc"), require("sql"), require("time")

local function stream(db, rows, fill)
	assert(db:execute("DELETE FROM people"))
	local opened = assert(cdc.stream("bench:cdc", { buffer = 1024 }))
	local changes = assert(opened:channel())
	assert(db:execute(fill, { rows }))
	local sum, start = 0, time.unix()
	for _ = 1, rows do
		sum = sum + changes:receive().after.score
	end
	local took = time.unix() - start
	opened:close()
	return took, sum
end

local function loop(rows)
	local columns = { "id", "name", "street", "score", "weight", "photo" }
	local sum, start = 0, time.unix()
	for i = 1, rows do
		local change = {
			op = "insert",
			schema = "main",
			table = "people",
			relation = "people",
			after = { id = i, name = "somebody by name", street = "a street", score = i, weight = 1.5, photo = "0123456789" },
			columns = columns,
			key = { id = i },
			source = "bench:cdc",
			source_id = "bench:cdc",
			transaction = "0123456789abc:1",
			last = i == rows,
			cursor = "0123456789abc-0000000000000001-" .. i,
			lsn = "1",
			timestamp = start,
			generation = "0123456789abc",
		}
		sum = sum + change.after.score
	end
	return time.unix() - start, sum
end

function main(rows, rounds, schema, fill)
	local db = assert(sql.get("bench:db"))
	assert(db:execute("DROP TABLE IF EXISTS people"))
	assert(db:execute(schema))
	local streamed, looped = {}, {}
	for round = 1, rounds do
		local took, sum = stream(db, rows, fill)
		streamed[round] = took * 1e9 / rows
		local alone, same = loop(rows)
		looped[round] = alone * 1e9 / rows
		assert(sum == same)
	end
	return { streamed, looped }
end
