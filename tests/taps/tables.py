"""What the databases hold: values where present runners go wrong."""

POSTGRES = r"""
create schema shop;
create table shop.items (
    id bigint primary key, name text not null, price numeric(38, 10), amount numeric, ratio double precision, flag boolean,
    born date, at timestamptz, local timestamp, clock time, uid uuid, doc jsonb, tags text[], numbers int[], raw bytea,
    changed timestamptz not null
);
insert into shop.items values
    (1, 'plain', 1.1, 1.10, 0.1, true,
     '2024-02-29', '2024-02-29 12:00:00.123456+02', '2024-02-29 12:00:00', '23:59:59', '11111111-2222-3333-4444-555555555555',
     '{"a": [1, null, 1.10]}', '{a,NULL,"b c"}', '{1,NULL,3}', '\x00ff', '2024-01-01 00:00:00+00'),
    (9007199254740993, E'Ünïcödé 🚚 "quoted" \\ back\ttab',
     1234567890123456789012345678.0123456789, 12345678901234567890.123456789, 0.5, false,
     '1970-01-01', '1970-01-01 00:00:00+00', '1969-12-31 23:59:59.999999', '00:00:00', null,
     '[]', '{}', '{}', '', '2024-01-02 00:00:00+00'),
    (-9223372036854775808, '', -0.0000000001, 0, 'NaN', null,
     null, null, null, null, null, null, null, null, null, '2024-01-03 00:00:00+00'),
    (4, 'infinite', 0, 1e-10, 'Infinity', null,
     '9999-12-31', '2262-04-11 23:47:16.854775+00', null, null, null, '"text"', null, null, null, '2024-01-03 00:00:00+00');
create table shop.orders (id int primary key, item bigint, quantity int not null);
insert into shop.orders select n, 1, n % 7 from generate_series(1, 5000) n;
"""

POSTGRES_LATER = """
insert into shop.items (id, name, changed) values (5, 'later', '2024-01-04 00:00:00+00');
update shop.items set name = 'renamed', changed = '2024-01-05 00:00:00+00' where id = 1;
"""

MARIADB = """
create table items (
    id bigint unsigned primary key, name varchar(200) not null, price decimal(30, 10), ratio double,
    small tinyint, flag tinyint(1), bits bit(1), born date, at datetime(6), clock time, kind enum('a', 'b'), doc json,
    raw varbinary(10), changed datetime not null
);
set sql_mode = '';
insert into items values
    (1, 'plain', 1.1, 0.1, -128, 1,
     b'1', '2024-02-29', '2024-02-29 12:00:00.123456', '23:59:59', 'a', '{"a": 1.10}', x'00ff', '2024-01-01'),
    (9223372036854775807, 'Ünïcödé 🚚', 12345678901234567890.0123456789, 1e300, 127, 0,
     b'0', '0000-00-00', '0000-00-00 00:00:00', '-838:59:59', 'b', '[]', x'', '2024-01-02'),
    (18446744073709551615, 'beyond 64 bits', null, null, null, null, null, null, null, null, null, null, null, '2024-01-02'),
    (3, '', -0.0000000001, null, null, null, null, null, null, null, null, null, null, '2024-01-03');
create table orders (id int primary key, quantity int not null);
insert into orders select seq, seq mod 7 from seq_1_to_3000;
"""

MARIADB_LATER = """
insert into items (id, name, changed) values (4, 'later', '2024-01-04');
update items set name = 'renamed', changed = '2024-01-05' where id = 1;
"""
