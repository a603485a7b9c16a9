-- Sells things, one of which is not taken, and waits until all of it was delivered or parked.
local cdc, io, sql, time = require("cdc"), require("io"), require("sql"), require("time")

local function delivered()
  for _, consumer in ipairs(assert(cdc.consumers("app:cdc"))) do
    if consumer.name == "app:hook" then return not consumer.snapshot and consumer.lag_transactions == 0 end
  end
end

local function main()
  local db = assert(sql.get("app:db"))
  assert(db:execute("CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, item TEXT)"))
  for i = 1, 50 do
    assert(db:execute("INSERT INTO orders (item) VALUES (?)", { i == 20 and "poison" or "item " .. i }))
    time.sleep("10ms")
  end
  repeat time.sleep("50ms") until delivered()
  for _, row in ipairs(assert(db:query("SELECT key, error FROM wippy_cdc_parked"))) do
    io.print("shop: parked " .. row.key)
  end
end

return { main = main }
