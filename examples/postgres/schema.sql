DROP TABLE IF EXISTS users, orders;
CREATE TABLE users (id bigint PRIMARY KEY, name text NOT NULL, active boolean);
CREATE TABLE orders (id bigint PRIMARY KEY, user_id bigint, details jsonb, price numeric(10, 2));
