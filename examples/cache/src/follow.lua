-- Keeps a database in step with a source, whatever happens: follow(source, db, target) first makes db a copy of what the
-- source has, and then repeats every transaction on it, one by one. It returns when target.done says so.
--
--   target.clear(tx)      empties the copy
--   target.apply(tx, c)   repeats one change
--   target.done(c)        is told the last change of each transaction, and returns true to end
local cdc = require("cdc")
local logger = require("logger")
local time = require("time")

-- Returns why the stream has ended, nil if target.done wants to end.
local function copy(changes, db, target)
	-- All that is there arrives as changes of op "snapshot" first, so begin with nothing.
	local tx = assert(db:begin())
	target.clear(tx)
	assert(tx:commit())

	tx = nil
	while true do
		local change, ok = changes:receive()
		if errors.is(change) or not ok then
			if tx then
				tx:rollback() -- only whole transactions are kept
			end
			return change or errors.new("the stream was closed")
		end

		tx = tx or assert(db:begin())
		target.apply(tx, change)

		-- The changes of a transaction arrive together; so do the rows of the snapshot. Committing them together keeps the
		-- copy at a state that the source has really been in.
		if change.last then
			assert(tx:commit())
			tx = nil
			if target.done(change) then
				return nil
			end
		end
	end
end

return function(source, db, target)
	while true do
		local stream = assert(cdc.stream(source, { snapshot = true }))
		local changes, err = stream:channel()
		if changes then
			err = copy(changes, db, target)
			stream:close()
			if not err then
				return
			end
		end

		-- The stream fell behind, or the source is just being restarted. A new snapshot makes good for what was missed. Other
		-- errors cannot be cured here: the process fails, and its service starts it again.
		if not err:retryable() then
			error(err)
		end
		logger.warn("starting over", { source = source, error = tostring(err) })
		time.sleep("200ms")
	end
end
