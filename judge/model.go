package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/anishathalye/porcupine"
)

// A model knows one kind of object; every key is one, and all keys are independent.
type model interface {
	name() string
	// input understands what was asked. A read has no effect, so one without an answer says nothing.
	input(line *record) (input interface{}, isRead bool, err error)
	// output understands the answer to an acknowledged operation.
	output(line *record) (interface{}, error)
	// of is the sequential specification for the operations of one key.
	of(ops []operation) porcupine.Model
	// groups lists positions that may be left out together without making a legal history illegal.
	groups(ops []operation) [][]int
}

var models = map[string]model{"register": register{}, "set": set{}, "counter": counter{}}

func unknownFunction(m model, line *record) error {
	return fmt.Errorf("unknown operation %q of a %s", line.Function, m.name())
}

var errNoValue = errors.New("v is not what this operation takes")
var errNoOutput = errors.New("o is not what this operation answers")

// parse reads a field of a record; one that is left out or null is wrong.
func parse(text json.RawMessage, into interface{}, wrong error) error {
	if len(text) == 0 || string(text) == "null" {
		return wrong
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%w: %v", wrong, err)
	}
	return nil
}
