"""simdjson parses every line of the file and keeps nothing: `simdjson_parse.py MESSAGES`."""

import sys

import simdjson

parse = simdjson.Parser().parse
with open(sys.argv[1], "rb", buffering=1 << 20) as messages:
    for line in messages:
        parse(line)
