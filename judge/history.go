package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
)

// A history file is JSONL. Its first line is the meta line; every further line is one operation in its final form, in
// any order. A calls file beside it, when there is one, holds the invocations, each written before it was sent: it must
// know every operation of the history, and what it has beyond them was never answered.

// status is what the client knows of an operation's outcome.
type status string

const (
	statusOk   status = "ok"
	statusFail status = "fail" // the server guarantees that it was and will not be applied
	statusInfo status = "info" // it may have been applied, or may be at any later time
)

type record struct {
	Process  *int64          `json:"p"`
	Id       *int64          `json:"id"`
	Function string          `json:"f"`
	Key      string          `json:"k"`
	Value    json.RawMessage `json:"v"`
	Call     *int64          `json:"call"`
	Return   *int64          `json:"ret"`
	Status   status          `json:"st"`
	Output   json.RawMessage `json:"o"`

	text string
}

type metaLine struct {
	Meta *struct {
		Model string `json:"model"`
	} `json:"meta"`
}

// An operation of one key, understood by its model.
type operation struct {
	record *record
	input  interface{}
	output interface{} // nil: unknown
	call   int64
	ret    int64 // forever when the outcome is unknown
}

const forever = math.MaxInt64

type history struct {
	model     model
	ops       map[string][]operation // by key; only what constrains the judgement
	total     int
	acked     int
	failed    int
	unknown   int
	unknownOf map[string]int
}

// malformed is a history that says nothing about the database: it must never pass for a legal one.
type malformed struct {
	line int
	what string
}

func (e *malformed) Error() string {
	if e.line == 0 {
		return e.what
	}
	return fmt.Sprintf("line %d: %s", e.line, e.what)
}

func bad(line int, format string, args ...interface{}) error {
	return &malformed{line, fmt.Sprintf(format, args...)}
}

func callsFileOf(path string) string {
	return strings.TrimSuffix(path, ".jsonl") + ".calls.jsonl"
}

func loadHistory(path string) (*history, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, bad(0, "%v", err)
	}
	defer file.Close()
	calls, err := os.Open(callsFileOf(path))
	if errors.Is(err, os.ErrNotExist) {
		return readHistory(file, nil)
	}
	if err != nil {
		return nil, bad(0, "%v", err)
	}
	defer calls.Close()
	return readHistory(file, calls)
}

func readHistory(source, calls io.Reader) (*history, error) {
	var read *reader
	err := eachLine(source, func(number int, text string) error {
		if number == 1 {
			chosen, err := parseMeta(text)
			if err != nil {
				return err
			}
			read = newReader(chosen)
			return nil
		}
		return read.add(number, text)
	})
	if err != nil {
		return nil, err
	}
	if read == nil {
		return nil, bad(0, "empty file, not even a meta line")
	}
	if calls != nil {
		if err := read.addCalls(calls); err != nil {
			return nil, err
		}
	}
	return &read.history, nil
}

func parseMeta(text string) (model, error) {
	var first metaLine
	if err := json.Unmarshal([]byte(text), &first); err != nil || first.Meta == nil {
		return nil, bad(1, "not a meta line")
	}
	chosen, known := models[first.Meta.Model]
	if !known {
		return nil, bad(1, "unknown model %q", first.Meta.Model)
	}
	return chosen, nil
}

// eachLine hands on every line without its end. The last line must have one: a line that was cut short may still parse.
func eachLine(source io.Reader, visit func(number int, text string) error) error {
	buffered := bufio.NewReaderSize(source, 1<<20)
	for number := 1; ; number++ {
		text, err := buffered.ReadString('\n')
		if err == io.EOF {
			if text != "" {
				return bad(number, "the last line is cut short")
			}
			return nil
		}
		if err != nil {
			return bad(number, "%v", err)
		}
		if err := visit(number, strings.TrimSuffix(text, "\n")); err != nil {
			return err
		}
	}
}

type reader struct {
	history
	calledAt map[int64]int64 // by id
}

func newReader(chosen model) *reader {
	return &reader{
		history:  history{model: chosen, ops: map[string][]operation{}, unknownOf: map[string]int{}},
		calledAt: map[int64]int64{},
	}
}

func (r *reader) add(number int, text string) error {
	line, err := parseRecord(number, text)
	if err != nil {
		return err
	}
	if _, taken := r.calledAt[*line.Id]; taken {
		return bad(number, "operation %d stands twice", *line.Id)
	}
	switch line.Status {
	case statusOk, statusFail:
		if line.Return == nil {
			return bad(number, "an outcome without a time (ret)")
		}
	case statusInfo:
	default:
		return bad(number, "unknown status %q", line.Status)
	}
	if line.Return != nil && *line.Return < *line.Call {
		return bad(number, "returned before it was called")
	}
	return r.take(number, line)
}

func parseRecord(number int, text string) (*record, error) {
	line := &record{text: text}
	decoder := json.NewDecoder(strings.NewReader(text))
	if err := decoder.Decode(line); err != nil {
		return nil, bad(number, "%v", err)
	}
	if decoder.More() {
		return nil, bad(number, "more than one value")
	}
	if line.Process == nil || line.Id == nil || line.Call == nil || line.Key == "" {
		return nil, bad(number, "p, id, call and k must be there")
	}
	return line, nil
}

// take files an operation under its key, unless it constrains nothing: one that was not applied, or a read that nobody saw.
func (r *reader) take(number int, line *record) error {
	input, isRead, err := r.model.input(line)
	if err != nil {
		return bad(number, "%v", err)
	}
	r.calledAt[*line.Id] = *line.Call
	r.total++
	next := operation{record: line, input: input, call: *line.Call, ret: forever}
	switch line.Status {
	case statusFail:
		r.failed++
		return nil
	case statusInfo:
		r.unknown++
		if isRead {
			return nil
		}
		r.unknownOf[line.Key]++
	case statusOk:
		r.acked++
		next.ret = *line.Return
		if next.output, err = r.model.output(line); err != nil {
			return bad(number, "%v", err)
		}
	}
	r.ops[line.Key] = append(r.ops[line.Key], next)
	return nil
}

// addCalls compares the history with what was written before sending, and adds what was never answered.
func (r *reader) addCalls(calls io.Reader) error {
	finished := r.calledAt
	r.calledAt = map[int64]int64{}
	err := eachLine(calls, func(number int, text string) error {
		line, err := parseRecord(number, text)
		if err != nil {
			return err
		}
		if _, twice := r.calledAt[*line.Id]; twice {
			return bad(number, "operation %d stands twice", *line.Id)
		}
		at, known := finished[*line.Id]
		if !known {
			line.Status = statusInfo
			return r.take(number, line)
		}
		if at != *line.Call {
			return bad(number, "operation %d was called at another time", *line.Id)
		}
		delete(finished, *line.Id)
		r.calledAt[*line.Id] = at
		return nil
	})
	var wrong *malformed
	if errors.As(err, &wrong) {
		return bad(wrong.line, "calls file: %s", wrong.what)
	}
	if err == nil && len(finished) > 0 {
		return bad(0, "calls file: %d operations of the history are not in it", len(finished))
	}
	return err
}
