-- A small shop. Between them the tables have the keys and most of the types that people use: a number, a string that is
-- unique, a key of two columns; decimals, dates and times with and without zone, ENUM, JSON, text beyond ASCII, NULLs.

CREATE TABLE customers (
    id         INT UNSIGNED  NOT NULL AUTO_INCREMENT PRIMARY KEY,
    name       VARCHAR(80)   NOT NULL,
    email      VARCHAR(120)  NOT NULL UNIQUE,
    city       VARCHAR(60)   NOT NULL,
    country    CHAR(2)       NOT NULL,
    born       DATE,
    credit     DECIMAL(10,2) NOT NULL DEFAULT 0,
    newsletter TINYINT(1)    NOT NULL DEFAULT 0,
    note       TEXT,
    created_at TIMESTAMP     NOT NULL,
    deleted_at DATETIME
) DEFAULT CHARSET = utf8mb4;

CREATE TABLE orders (
    id          BIGINT UNSIGNED NOT NULL PRIMARY KEY,
    customer_id INT UNSIGNED    NOT NULL,
    status      ENUM('new', 'paid', 'shipped', 'returned', 'cancelled') NOT NULL,
    amount      DECIMAL(12,2)   NOT NULL,
    ordered_at  DATETIME(6)     NOT NULL,
    shipped_on  DATE,
    comment     VARCHAR(200),
    KEY (customer_id)
) DEFAULT CHARSET = utf8mb4;

CREATE TABLE items (
    order_id  BIGINT UNSIGNED   NOT NULL,
    line      SMALLINT UNSIGNED NOT NULL,
    sku       VARCHAR(20)       NOT NULL,
    quantity  INT               NOT NULL,
    price     DECIMAL(10,2)     NOT NULL,
    weight_kg DOUBLE,
    options   JSON,
    PRIMARY KEY (order_id, line)
) DEFAULT CHARSET = utf8mb4;
