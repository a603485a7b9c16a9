-- Returns how many nanoseconds after its commit each change has arrived in a script that waits for it.
local cdc, sql, time = require("cdc"), require("sql"), require("time")

function main(n, schema)
	local db = assert(sql.get("bench:db"))
	assert(db:execute("DROP TABLE IF EXISTS people"))
	assert(db:execute(schema))
	local changes = assert(assert(cdc.stream("bench:cdc")):channel())
	local more = channel.new()
	coroutine.spawn(function()
		local insert = assert(db:prepare("INSERT INTO people (name, street, score, weight, photo) VALUES ('somebody by name', 'a street', ?, 1.5, '0123456789')"))
		for i = 1, n do
			more:receive()
			assert(insert:execute({ i }))
		end
	end)
	local latencies = {}
	for i = 1, n do
		more:send(true)
		local change = changes:receive()
		latencies[i] = (time.unix() - change.timestamp) * 1e9
		assert(change.after.score == i)
	end
	return latencies
end
