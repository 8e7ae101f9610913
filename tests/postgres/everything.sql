-- SPDX-License-Identifier: BSD-2-Clause
-- What psql does with one server it does with three: results, errors, notices, COPY, large objects, cursors, functions.
\set VERBOSITY verbose
\pset null '(null)'
create table shop (id serial primary key, name text not null unique, price numeric(8,2), tags text[], at timestamp default '2001-02-03 04:05:06');
insert into shop (name, price, tags) values ('apple', 0.5, '{fruit,red}'), ('pear', 0.75, '{fruit}'), ('brick', 12, null) returning *;
insert into shop (name) values ('apple');
insert into shop (nothing) values (1);
select from shop;
select * from shop where false;
select 1; select 2 \; select 3;

;
\d shop
\d
\dt+ shop
\df now
\l
\du
create index on shop (price);
\d+ shop
explain (costs off) select * from shop where id = 1;
begin;
update shop set price = price * 2 where id <= 2 returning id, price;
savepoint a;
select 1/0;
select 'not now';
rollback to a;
delete from shop where id = 3;
select count(*) from shop;
rollback;
select count(*) from shop;
begin; commit; commit;
do $$ begin raise notice 'a notice'; raise warning 'a warning %', 1; end $$;
do $$ begin raise exception 'no' using hint = 'a hint', detail = 'a detail', errcode = 'P0042'; end $$;
create function add(a int, b int) returns int language sql as 'select a + b';
create function loud(n int) returns setof int language plpgsql as $$ begin for i in 1..n loop raise notice 'row %', i; return next i; end loop; end $$;
select add(2, 3), loud(3);
drop function add(int, int);
drop function if exists nothing();
prepare find(int) as select name from shop where id = $1;
execute find(1);
execute find(2);
deallocate find;
begin;
declare c cursor for select generate_series(1, 10);
fetch 3 from c;
fetch all from c;
close c;
commit;
create table big as select i, repeat(md5(i::text), 4) as t from generate_series(1, 3000) i;
select * from big order by i;
copy shop to stdout;
copy (select * from shop order by id desc) to stdout with (format csv, header);
\copy shop to shop.tsv
create table copied (like shop);
\copy copied from shop.tsv
select * from copied;
copy copied (id, name) from stdin;
7	seven
8	eight
\.
copy copied (id, name) from stdin;
nine	9
\.
select id, name from copied order by id;
\copy big to big.csv csv
truncate big;
\copy big from big.csv csv
select count(*), sum(length(t)) from big;
\lo_import big.csv 'a large object'
\lo_list
select loid, length(data) from pg_largeobject order by loid, pageno limit 3;
\lo_export :LASTOID big2.csv
select lo_unlink(:LASTOID);
select repeat('x', 300000) as long, 1 as short;
select decode(repeat('00ff', 200000), 'hex') as bytes;
set application_name = 'somebody';
set timezone = 'Europe/Vienna';
select '2020-01-01 00:00Z'::timestamptz;
set client_encoding = latin1;
reset client_encoding;
show application_name;
select * from generate_series(1, 3) with ordinality;
select 'a' as "column with a very long name indeed, longer than names can be, and so cut off somewhere";
select xmlforest(1 as a), '{"b": [1, 2]}'::jsonb, '1 day'::interval, '10.0.0.0/8'::inet, B'101', E'\\x00ff'::bytea;
listen news;
notify news, 'hello';
unlisten *;
vacuum shop;
analyze;
\g
