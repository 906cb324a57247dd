module example.org/source-lines

go 1.19
