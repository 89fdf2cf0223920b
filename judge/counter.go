package main

import "github.com/anishathalye/porcupine"

// counter starts at 0; it shows what was applied twice or not at all.
//
//	incr  v by (default 1)  o {n?}   n: its value right after
//	get                     o {n}
type counter struct{}

type counterInput struct {
	by    int64
	isGet bool
}

func (counter) name() string { return "counter" }

func (m counter) input(line *record) (interface{}, bool, error) {
	switch line.Function {
	case "incr":
		in := counterInput{by: 1}
		if len(line.Value) == 0 || string(line.Value) == "null" {
			return in, false, nil
		}
		err := parse(line.Value, &in.by, errNoValue)
		return in, false, err
	case "get":
		return counterInput{isGet: true}, true, nil
	}
	return nil, false, unknownFunction(m, line)
}

// output is the value that was seen, as *int64; nil where an increment does not tell it.
func (counter) output(line *record) (interface{}, error) {
	var o struct {
		N *int64 `json:"n"`
	}
	if line.Function == "incr" && (len(line.Output) == 0 || string(line.Output) == "null") {
		return o.N, nil
	}
	if err := parse(line.Output, &o, errNoOutput); err != nil {
		return nil, err
	}
	if line.Function == "get" && o.N == nil {
		return nil, errNoOutput
	}
	return o.N, nil
}

func (counter) of([]operation) porcupine.Model {
	return porcupine.Model{
		Init: func() interface{} { return int64(0) },
		Step: func(state, input, output interface{}) (bool, interface{}) {
			after := state.(int64) + input.(counterInput).by
			seen, known := output.(*int64)
			return !known || seen == nil || *seen == after, after
		},
	}
}

// groups: a get alone.
func (counter) groups(ops []operation) [][]int {
	var groups [][]int
	for i, op := range ops {
		if op.input.(counterInput).isGet {
			groups = append(groups, []int{i})
		}
	}
	return groups
}
