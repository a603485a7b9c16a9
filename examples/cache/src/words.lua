-- The index: which words the names of products consist of.
local words = {}

function words.create(db)
	assert(db:execute([[
		CREATE TABLE IF NOT EXISTS words (
			word TEXT NOT NULL,
			product INTEGER NOT NULL,
			name TEXT NOT NULL,
			PRIMARY KEY (word, product)
		) WITHOUT ROWID]]))
end

function words.clear(tx)
	assert(tx:execute("DELETE FROM words"))
end

local function remove(tx, row)
	assert(tx:execute("DELETE FROM words WHERE product = ?", { row.id }))
end

local function add(tx, row)
	for word in row.name:lower():gmatch("%w+") do
		assert(tx:execute("INSERT OR IGNORE INTO words VALUES (?, ?, ?)", { word, row.id, row.name }))
	end
end

-- Repeats one change. A row is gone from under its old ID, so before and after are handled apart. Postgres tells the old row only
-- if its key has changed; the words of one that has kept its key are found by that.
function words.apply(tx, change)
	if change.op == "truncate" then
		return words.clear(tx)
	end
	local old = change.before or change.key
	if old then
		remove(tx, old)
	end
	if change.after then
		add(tx, change.after)
	end
end

-- Returns the names of the products that have a word.
function words.search(db, word)
	local names = {}
	for _, row in ipairs(assert(db:query("SELECT name FROM words WHERE word = ? ORDER BY name", { word:lower() }))) do
		names[#names + 1] = row.name
	end
	return names
end

return words
