// Arrow IPC by hand, for batches of two columns without nulls: `line` int64 and `text` utf8.
package main

import (
	"encoding/base64"
	"encoding/binary"
)

// The message that says the columns. It and the one below were written once by an Arrow library: of one schema, every batch has
// the same message but for the numbers that `stream` fills in. https://arrow.apache.org/docs/format/Columnar.html
const schemaMessage = "/////7AAAAAQAAAAAAAKAAwABgAFAAgACgAAAAABBAAMAAAACAAIAAAABAAIAAAABAAAAAIAAABEAAAABAAAANT///8AAAAFEAAAABwAAAAEAAAAAAAAAAQAAAB0" +
	"ZXh0AAAAAAQABAAEAAAAEAAUAAgAAAAHAAwAAAAQABAAAAAAAAACEAAAACAAAAAEAAAAAAAAAAQAAABsaW5lAAAAAAgADAAIAAcACAAAAAAAAAFAAAAAAAAAAA=="

const batchMessage = "/////8gAAAAUAAAAAAAAAAwAFgAGAAUACAAMAAwAAAAAAwQAGAAAADAAAAAAAAAAAAAKABgADAAEAAgACgAAAGwAAAAQAAAAAwAAAAAAAAAAAAAABQAAAAAAAAAAAAAA" +
	"AAAAAAAAAAAAAAAAAAAAABgAAAAAAAAAGAAAAAAAAAAAAAAAAAAAABgAAAAAAAAAEAAAAAAAAAAoAAAAAAAAAAYAAAAAAAAAAAAAAAIAAAADAAAAAAAAAAAAAAAAAAAA" +
	"AwAAAAAAAAAAAAAAAAAAAA=="

// Where in the second the numbers stand.
const (
	atBodyLength  = 40
	atRows        = 72
	atLines       = 104 // place and length of each buffer: numbers, (no validity), ends of texts, texts
	atNoNulls     = 120
	atTextEnds    = 136
	atTexts       = 152
	atLinesLength = 176
	atTextLength  = 192
)

var endOfStream = []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}

func decoded(text string) []byte {
	bytes, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		panic(err)
	}
	return bytes
}

// Buffers start at multiples of 8.
func padded(bytes []byte) []byte {
	return append(bytes, make([]byte, -len(bytes)&7)...)
}

// One self-contained stream: the schema, one batch, the end. The first text is line `first`.
func stream(first int64, texts []string) []byte {
	var lines, ends, text []byte
	ends = binary.LittleEndian.AppendUint32(ends, 0)
	for place, each := range texts {
		lines = binary.LittleEndian.AppendUint64(lines, uint64(first+int64(place)))
		text = append(text, each...)
		ends = binary.LittleEndian.AppendUint32(ends, uint32(len(text)))
	}
	endsLength, textLength := len(ends), len(text)
	ends, text = padded(ends), padded(text)

	message := decoded(batchMessage)
	put := func(at int, values ...int) {
		for place, value := range values {
			binary.LittleEndian.PutUint64(message[at+8*place:], uint64(value))
		}
	}
	put(atBodyLength, len(lines)+len(ends)+len(text))
	put(atRows, len(texts))
	put(atLines, 0, len(lines))
	put(atNoNulls, len(lines), 0)
	put(atTextEnds, len(lines), endsLength)
	put(atTexts, len(lines)+len(ends), textLength)
	put(atLinesLength, len(texts), 0)
	put(atTextLength, len(texts), 0)

	whole := decoded(schemaMessage)
	for _, part := range [][]byte{message, lines, ends, text, endOfStream} {
		whole = append(whole, part...)
	}
	return whole
}
