-- Tests of the index, on databases that are empty at the start.
local sql = require("sql")
local test = require("test")
local follow = require("follow")
local words = require("words")

-- Follows the shop while f runs. f gets two functions: the first waits until the next transaction is in the index and
-- returns its last change; the second says that the next transaction is the last one.
local function while_following(index, f)
	local indexed, over = channel.new(100), false
	local ended = channel.new(1)
	coroutine.spawn(function()
		follow("app:test.cdc", index, {
			clear = words.clear,
			apply = words.apply,
			done = function(change)
				indexed:send(change)
				return over
			end,
		})
		ended:send(true)
	end)
	f(function()
		return test.receive(indexed, "5s")
	end, function()
		over = true
	end)
	test.receive(ended)
end

local main = test.suite(function()
	local shop, index = assert(sql.get("app:test.shop")), assert(sql.get("app:test.index"))
	words.create(index)
	assert(shop:execute("CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT NOT NULL, price INTEGER)"))

	test.case("what is there is found", function()
		assert(shop:execute("INSERT INTO products VALUES (1, 'Green tea', 4), (2, 'Black tea', 3)"))
		while_following(index, function(next_transaction, finish)
			finish()
			test.match(next_transaction(), { op = "snapshot", last = true })
		end)
		test.equal(words.search(index, "tea"), { "Black tea", "Green tea" })
	end)

	test.case("what changes is followed", function()
		while_following(index, function(next_transaction, finish)
			next_transaction() -- the snapshot
			local tx = assert(shop:begin())
			assert(tx:execute("INSERT INTO products VALUES (3, 'Tea pot', 20)"))
			assert(tx:execute("UPDATE products SET id = 9 WHERE id = 1"))
			assert(tx:execute("DELETE FROM products WHERE id = 2"))
			finish()
			assert(tx:commit())
			test.match(next_transaction(), { op = "delete", before = { name = "Black tea" } })
		end)
		test.equal(words.search(index, "tea"), { "Green tea", "Tea pot" })
		test.equal(words.search(index, "BLACK"), {})
		test.equal(assert(index:query("SELECT DISTINCT product FROM words WHERE word = 'green'")), { { product = 9 } })
	end)

	test.case("the index is the same after starting over", function()
		while_following(index, function(next_transaction, finish)
			finish()
			next_transaction()
		end)
		test.equal(words.search(index, "tea"), { "Green tea", "Tea pot" })
	end)
end)

return { main = main }
