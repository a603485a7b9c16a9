-- Keeps the balances of all accounts and returns their sum, once it has seen the account that is opened last.
local cdc = require("cdc")
local time = require("time")

-- Reads one stream to its end and returns why it has ended, nil once the last account has been seen.
local function follow(changes, balances, pause)
	while true do
		local change, ok = changes:receive()
		if errors.is(change) or not ok then
			return change or errors.new("the stream was closed")
		end
		local row = change.after
		balances[row.id] = row.balance
		if row.owner == "the last" then
			return nil
		end
		if pause then
			time.sleep(pause) -- whatever takes so long
		end
	end
end

-- options: who (a name), to (the process to tell when it is ready), pause (what each change takes), max_bytes (how far the
-- stream may fall behind)
local function main(options)
	local cut_off = 0
	while true do
		-- Each attempt begins with a snapshot: what was missed while no stream was open is in it. So the balances are begun anew.
		local balances = {}
		local stream = assert(cdc.stream("app:cdc", { snapshot = true, max_bytes = options.max_bytes }))
		local changes = assert(stream:channel())
		process.send(options.to, "ready", options.who)
		local err = follow(changes, balances, options.pause)
		stream:close()

		if not err then
			local sum = 0
			for _, balance in pairs(balances) do
				sum = sum + balance
			end
			return { who = options.who, sum = sum, cut_off = cut_off }
		end
		if not err:retryable() then
			error(err)
		end
		-- "stream fell behind: … unread, limit 64 KiB; read faster, raise max_bytes, or resubscribe with snapshot = true"
		cut_off = cut_off + 1
	end
end

return { main = main }
