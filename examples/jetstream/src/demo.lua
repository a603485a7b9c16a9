-- Sells things, and waits until all of it was delivered.
local cdc, io, sql, time = require("cdc"), require("io"), require("sql"), require("time")

local function delivered()
  for _, consumer in ipairs(assert(cdc.consumers("app:cdc"))) do
    if consumer.name == "app:orders" then return not consumer.snapshot and consumer.lag_transactions == 0 end
  end
end

local function main()
  local db = assert(sql.get("app:db"))
  assert(db:execute("CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, item TEXT)"))
  for i = 1, 100 do
    local tx = assert(db:begin())
    for j = 1, 3 do
      assert(tx:execute("INSERT INTO orders (item) VALUES (?)", { "item " .. i .. "." .. j }))
    end
    assert(tx:commit())
    time.sleep("10ms")
  end
  repeat time.sleep("50ms") until delivered()
  io.print("shop: 300 orders sold and delivered")
end

return { main = main }
