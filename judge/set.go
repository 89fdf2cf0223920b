package main

import "github.com/anishathalye/porcupine"

// set grows only.
//
//	insert  v element (a string)
//	scan                           o all its elements
type set struct{}

type setInput struct {
	element string
	isScan  bool
}

func (set) name() string { return "set" }

func (m set) input(line *record) (interface{}, bool, error) {
	switch line.Function {
	case "insert":
		var element string
		if err := parse(line.Value, &element, errNoValue); err != nil {
			return nil, false, err
		}
		return setInput{element: element}, false, nil
	case "scan":
		return setInput{isScan: true}, true, nil
	}
	return nil, false, unknownFunction(m, line)
}

func (set) output(line *record) (interface{}, error) {
	if line.Function == "insert" {
		return []string(nil), nil
	}
	var elements []string
	err := parse(line.Output, &elements, errNoOutput)
	return elements, err
}

// of numbers the elements; a state is a bit an element, in a string so that states compare by content.
func (set) of(ops []operation) porcupine.Model {
	numbers := map[string]int{}
	for _, op := range ops {
		if in := op.input.(setInput); !in.isScan {
			if _, known := numbers[in.element]; !known {
				numbers[in.element] = len(numbers)
			}
		}
	}
	empty := string(make([]byte, len(numbers)/8+1))
	scans := map[*string]string{}
	bitsOf := func(elements []string) string {
		if len(elements) == 0 {
			return empty
		}
		if bits, known := scans[&elements[0]]; known {
			return bits
		}
		bits := bitsOfAll(elements, numbers, len(empty))
		scans[&elements[0]] = bits
		return bits
	}
	return porcupine.Model{
		Init: func() interface{} { return empty },
		Step: func(state, input, output interface{}) (bool, interface{}) {
			in := input.(setInput)
			if in.isScan {
				return state.(string) == bitsOf(output.([]string)), state
			}
			return true, with(state.(string), numbers[in.element])
		},
	}
}

// bitsOfAll equals no state when an element was never inserted.
func bitsOfAll(elements []string, numbers map[string]int, size int) string {
	bits := make([]byte, size)
	for _, element := range elements {
		number, known := numbers[element]
		if !known {
			return ""
		}
		bits[number/8] |= 1 << (number % 8)
	}
	return string(bits)
}

func with(bits string, number int) string {
	changed := []byte(bits)
	changed[number/8] |= 1 << (number % 8)
	return string(changed)
}

// groups: a scan alone. Without an insert, scans that saw its element would be wrong.
func (set) groups(ops []operation) [][]int {
	var groups [][]int
	for i, op := range ops {
		if op.input.(setInput).isScan {
			groups = append(groups, []int{i})
		}
	}
	return groups
}
