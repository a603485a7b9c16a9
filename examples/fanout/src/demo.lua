-- Starts four followers of which one is slow, writes faster than that one can read, and compares what they have seen.
local io = require("io")
local sql = require("sql")

local ACCOUNTS, ROUNDS = 20, 60

local function main()
	local db = assert(sql.get("app:db"))
	assert(db:execute("DROP TABLE IF EXISTS accounts"))
	assert(db:execute("CREATE TABLE accounts (id INTEGER PRIMARY KEY, owner TEXT, balance INTEGER, note TEXT)"))

	local ready, events = process.listen("ready"), process.events()
	local followers = {
		{ who = "books" },
		{ who = "mail" },
		{ who = "audit" },
		-- Takes 5 ms for each change, and may not be further behind than this.
		{ who = "slow", pause = "5ms", max_bytes = 64 * 1024 },
	}
	for _, follower in ipairs(followers) do
		follower.to = process.pid()
		assert(process.spawn("app:follower", "app:processes", follower))
		-- Once it is ready its stream is open, and it misses nothing. It might end before.
		local first = channel.select({ ready:case_receive(), events:case_receive() })
		if first.channel == events then
			error(first.value.error or "ended early")
		end
	end

	-- Every update is a transaction of its own. The writer does not wait for any reader.
	for id = 1, ACCOUNTS do
		assert(db:execute("INSERT INTO accounts VALUES (?, ?, 0, ?)", { id, "owner " .. id, ("x"):rep(100) }))
	end
	for round = 1, ROUNDS do
		for id = 1, ACCOUNTS do
			assert(db:execute("UPDATE accounts SET balance = balance + ? WHERE id = ?", { round, id }))
		end
	end
	assert(db:execute("INSERT INTO accounts VALUES (?, 'the last', 0, NULL)", { ACCOUNTS + 1 }))

	-- All come to the same sum. The slow one was cut off and has begun again with a snapshot; how often depends on the
	-- machine.
	local results = {}
	for _ = 1, #followers do
		local event = events:receive() -- the end of one of them
		if event.error or event.kind == "pid.cancel" then
			error(event.error or "cancelled")
		end
		results[event.result.who] = event.result
	end
	for _, follower in ipairs(followers) do
		local result = results[follower.who]
		io.print(result.who .. ": " .. result.sum .. (result.cut_off > 0 and ", was cut off" or ""))
	end
end

return { main = main }
