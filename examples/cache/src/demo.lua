-- Changes products and shows what the index finds.
local io = require("io")
local sql = require("sql")
local follow = require("follow")
local words = require("words")

local function show(index, word)
	io.print(word .. ": " .. table.concat(words.search(index, word), ", "))
end

local function main()
	local shop, index = assert(sql.get("app:shop")), assert(sql.get("app:index"))
	words.create(index)

	-- These are there before the cache watches. They will come with the snapshot.
	assert(shop:execute("DROP TABLE IF EXISTS products"))
	assert(shop:execute("CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT NOT NULL, price INTEGER)"))
	assert(shop:execute("INSERT INTO products VALUES (1, 'Green tea', 4), (2, 'Black tea', 3), (3, 'Tea pot', 20)"))

	-- An app would let a process.service do this. Here a coroutine does, so that the demo knows when the index is in step.
	local indexed = channel.new(10)
	coroutine.spawn(function()
		follow("app:cdc", index, {
			clear = words.clear,
			apply = words.apply,
			done = function(change)
				indexed:send(change.op)
			end,
		})
	end)
	indexed:receive()
	show(index, "tea")

	-- From here on the index learns of every transaction that commits.
	assert(shop:execute("INSERT INTO products VALUES (4, 'Tea towel', 8)"))
	indexed:receive()
	show(index, "tea")

	local tx = assert(shop:begin())
	assert(tx:execute("UPDATE products SET name = 'Coffee pot' WHERE id = 3"))
	assert(tx:execute("DELETE FROM products WHERE id = 2"))
	assert(tx:commit())
	indexed:receive()
	show(index, "tea")
	show(index, "pot")

	-- What is rolled back never gets there: the next that is indexed is the one after it.
	tx = assert(shop:begin())
	assert(tx:execute("UPDATE products SET name = 'nothing'"))
	assert(tx:rollback())
	assert(shop:execute("UPDATE products SET name = 'White tea' WHERE id = 1"))
	indexed:receive()
	show(index, "tea")
end

return { main = main }
