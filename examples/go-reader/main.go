// The lines of a text file, as a program for Dativo, or for any host of Airbyte sources: the standard library only.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"
)

const spec = `{"type":"SPEC","spec":{"supportsIncremental":true,"connectionSpecification":{"type":"object","required":["path"],` +
	`"properties":{"path":{"type":"string","description":"The file."}}},"dativo":{"api_version":"1.0","name":"source-lines",` +
	`"version":"0.1.0","capabilities":{"read":true,"write":false,"modes":["full_refresh","incremental"],"powers":[],` +
	`"formats":["arrow","json"],"releases_gil":true}}}}`

const catalog = `{"type":"CATALOG","catalog":{"streams":[{"name":"lines","supported_sync_modes":["full_refresh","incremental"],` +
	`"source_defined_cursor":true,"default_cursor_field":["line"],"source_defined_primary_key":[["line"]],"json_schema":{"type":` +
	`"object","properties":{"line":{"type":"integer"},"text":{"type":"string"}}},"arrow_schema":"` + schemaMessage + `"}]}}`

const (
	batchRows  = 65536
	batchBytes = 4 << 20
)

type object = map[string]any

var out = bufio.NewWriterSize(os.Stdout, 1<<16)

// Writes one message; a host that is gone ends the program, silently.
func say(message any) {
	line, err := json.Marshal(message)
	if err != nil {
		panic(err)
	}
	sayBytes(append(line, '\n'))
}

func sayBytes(bytes []byte) {
	if _, err := out.Write(bytes); err != nil {
		os.Exit(141)
	}
}

func trace(kind, key string, said object) {
	now := float64(time.Now().UnixMilli())
	say(object{"type": "TRACE", "trace": object{"type": kind, "emitted_at": now, key: said}})
}

func status(name string) {
	trace("STREAM_STATUS", "stream_status", object{"stream_descriptor": object{"name": "lines"}, "status": name})
}

func read(file string, into any) error {
	if file == "" {
		return nil
	}
	text, err := os.ReadFile(file)
	if err != nil || len(text) == 0 {
		return err
	}
	if json.Unmarshal(text, into) != nil {
		// Never the text: it may hold secrets.
		return fmt.Errorf("%s is not the JSON that is expected", file)
	}
	return nil
}

func open(configFile string) (*os.File, error) {
	var config struct{ Path string }
	if err := read(configFile, &config); err != nil {
		return nil, err
	}
	if config.Path == "" {
		return nil, errors.New("`path` is missing")
	}
	return os.Open(config.Path)
}

type position struct {
	Line int64 `json:"line"`
}

// Whether the stream is to be read, and where to go on.
func wanted(catalogFile, stateFile string) (bool, position, error) {
	var configured struct {
		Streams []struct {
			Stream   struct{ Name string }
			SyncMode string `json:"sync_mode"`
		}
	}
	var states []struct {
		Stream struct {
			State position `json:"stream_state"`
		}
	}
	if err := read(catalogFile, &configured); err != nil {
		return false, position{}, err
	}
	if err := read(stateFile, &states); err != nil {
		return false, position{}, err
	}
	for _, each := range configured.Streams {
		if each.Stream.Name == "lines" && each.SyncMode == "incremental" && len(states) > 0 {
			return true, states[len(states)-1].Stream.State, nil
		} else if each.Stream.Name == "lines" {
			return true, position{}, nil
		}
	}
	return false, position{}, nil
}

// Sends a batch, and the state that covers it and all before.
func send(first int64, texts []string, arrow bool) {
	if arrow {
		data := stream(first, texts)
		say(object{"type": "BATCH", "stream": "lines", "namespace": nil, "rows": len(texts), "bytes": len(data)})
		sayBytes(data)
	} else {
		now := time.Now().UnixMilli()
		for place, text := range texts {
			data := object{"line": first + int64(place), "text": text}
			say(object{"type": "RECORD", "record": object{"stream": "lines", "emitted_at": now, "data": data}})
		}
	}
	state := object{"stream_descriptor": object{"name": "lines"}, "stream_state": position{first + int64(len(texts)) - 1}}
	stats := object{"recordCount": len(texts)}
	say(object{"type": "STATE", "state": object{"type": "STREAM", "stream": state, "sourceStats": stats}})
}

func readLines(file *os.File, after int64, arrow bool) error {
	reader := bufio.NewReaderSize(file, 1<<20)
	var texts []string
	line, bytes := int64(0), 0
	for {
		text, err := reader.ReadString('\n')
		if err != nil && err != io.EOF {
			return err
		}
		if len(text) > 0 {
			line++
			if line > after {
				if text[len(text)-1] == '\n' {
					text = text[:len(text)-1]
				}
				texts, bytes = append(texts, text), bytes+len(text)
			}
		}
		if len(texts) > 0 && (err == io.EOF || len(texts) == batchRows || bytes >= batchBytes) {
			send(line-int64(len(texts))+1, texts, arrow)
			texts, bytes = texts[:0], 0
		}
		if err == io.EOF {
			return nil
		}
	}
}

func run(command, config, catalogFile, state string, arrow bool) error {
	switch command {
	case "spec":
		sayBytes([]byte(spec + "\n"))
	case "discover":
		sayBytes([]byte(catalog + "\n"))
	case "check":
		said := object{"status": "SUCCEEDED"}
		if file, err := open(config); err != nil {
			said = object{"status": "FAILED", "message": err.Error()}
		} else {
			file.Close()
		}
		say(object{"type": "CONNECTION_STATUS", "connectionStatus": said})
	case "read":
		file, err := open(config)
		if err != nil {
			return err
		}
		defer file.Close()
		isWanted, from, err := wanted(catalogFile, state)
		if err != nil || !isWanted {
			return err
		}
		status("STARTED")
		status("RUNNING")
		if err := readLines(file, from.Line, arrow); err != nil {
			status("INCOMPLETE")
			return err
		}
		status("COMPLETE")
	default:
		fmt.Fprintln(os.Stderr, "usage: source-lines spec | check | discover | read [--config FILE] [--catalog FILE] [--state FILE]")
		os.Exit(2)
	}
	return nil
}

func main() {
	options := flag.NewFlagSet("source-lines", flag.ExitOnError)
	config := options.String("config", "", "the configuration")
	catalogFile := options.String("catalog", "", "the configured catalog")
	state := options.String("state", "", "the state to go on from")
	format := options.String("format", os.Getenv("DATIVO_FORMAT"), "json or arrow")
	command := ""
	if len(os.Args) > 1 {
		command = os.Args[1]
		options.Parse(os.Args[2:])
	}
	err := run(command, *config, *catalogFile, *state, *format == "arrow")
	if err != nil {
		trace("ERROR", "error", object{"message": err.Error(), "failure_type": "config_error"})
	}
	if out.Flush() != nil {
		os.Exit(141)
	}
	if err != nil {
		os.Exit(1)
	}
}
