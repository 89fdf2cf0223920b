package main

import (
	"math"
	"sort"

	"github.com/anishathalye/porcupine"
)

// register is a key with one value or none, whose every write gets a version above all earlier ones of the key.
//
//	put  v {h}         o {ver?}       ver, where the answer tells it, is the version of this write
//	del                o {n?, ver?}   n: how many there were, 0 or 1
//	get                o {h, ver?}    h null: there is none
//	cas  v {h, ifVer}  o {ok, ver?}   ifVer: the version it must have; 0: must not exist; -1: must exist
//	cad  v {ifVer}     o {ok, ver?}   the same for a delete; ver is the version of the delete
type register struct{}

type registerInput struct {
	function  string
	value     string
	ifVersion int64
}

type registerOutput struct {
	value   *string
	version int64 // 0: not told
	existed *int64
	applied bool
}

// registerState: a version of 0 means that nobody has seen it; it is above floor then.
type registerState struct {
	exists  bool
	value   string
	version int64
	floor   int64
}

const mustExist = -1

func (register) name() string { return "register" }

func (m register) input(line *record) (interface{}, bool, error) {
	var v struct {
		H     *string `json:"h"`
		IfVer *int64  `json:"ifVer"`
	}
	switch line.Function {
	case "get":
		return registerInput{function: "get"}, true, nil
	case "del":
		return registerInput{function: "del"}, false, nil
	case "put", "cas":
		if err := parse(line.Value, &v, errNoValue); err != nil {
			return nil, false, err
		}
		isCas := line.Function == "cas"
		if v.H == nil || isCas != (v.IfVer != nil) || isCas && *v.IfVer < mustExist {
			return nil, false, errNoValue
		}
		input := registerInput{function: line.Function, value: *v.H}
		if isCas {
			input.ifVersion = *v.IfVer
		}
		return input, false, nil
	case "cad":
		if err := parse(line.Value, &v, errNoValue); err != nil {
			return nil, false, err
		}
		// To delete what must not exist says nothing.
		if v.H != nil || v.IfVer == nil || *v.IfVer < mustExist || *v.IfVer == 0 {
			return nil, false, errNoValue
		}
		return registerInput{function: line.Function, ifVersion: *v.IfVer}, false, nil
	}
	return nil, false, unknownFunction(m, line)
}

func (register) output(line *record) (interface{}, error) {
	var o struct {
		H   *string `json:"h"`
		Ver int64   `json:"ver"`
		N   *int64  `json:"n"`
		Ok  *bool   `json:"ok"`
	}
	mayBeSilent := line.Function == "put" || line.Function == "del"
	if len(line.Output) > 0 && string(line.Output) != "null" || !mayBeSilent {
		if err := parse(line.Output, &o, errNoOutput); err != nil {
			return nil, err
		}
	}
	if isConditional(line.Function) && o.Ok == nil || o.Ver < 0 || o.N != nil && *o.N != 0 && *o.N != 1 {
		return nil, errNoOutput
	}
	return registerOutput{value: o.H, version: o.Ver, existed: o.N, applied: o.Ok != nil && *o.Ok}, nil
}

// of is deterministic unless a compare-and-set of unknown outcome met a version that nobody had seen.
func (m register) of(ops []operation) porcupine.Model {
	for _, op := range ops {
		if !isConditional(op.input.(registerInput).function) {
			continue
		}
		branching := porcupine.NondeterministicModel{
			Init: func() []interface{} { return []interface{}{registerState{}} },
			Step: m.branches,
		}
		return branching.ToModel()
	}
	return porcupine.Model{
		Init: func() interface{} { return registerState{} },
		Step: func(state, input, output interface{}) (bool, interface{}) {
			return stepRegister(state.(registerState), input.(registerInput), output)
		},
	}
}

func (register) branches(state, input, output interface{}) []interface{} {
	before, in := state.(registerState), input.(registerInput)
	if isConditional(in.function) && output == nil {
		var branches []interface{}
		if before.mayMatch(in.ifVersion) {
			branches = append(branches, before.after(in, 0))
		}
		if !before.mustMatch(in.ifVersion) {
			branches = append(branches, before)
		}
		return branches
	}
	if ok, next := stepRegister(before, in, output); ok {
		return []interface{}{next}
	}
	return nil
}

func stepRegister(state registerState, input registerInput, output interface{}) (bool, registerState) {
	out, known := output.(registerOutput)
	switch input.function {
	case "get":
		return readRegister(state, out)
	case "del":
		if known && out.existed != nil && (*out.existed == 1) != state.exists {
			return false, state
		}
	case "cas", "cad":
		if !out.applied {
			return !state.mustMatch(input.ifVersion), state
		}
		if !state.mayMatch(input.ifVersion) {
			return false, state
		}
		state.floor = highest(state.floor, input.ifVersion)
	}
	return state.mayGet(out.version), state.after(input, out.version)
}

func isConditional(function string) bool {
	return function == "cas" || function == "cad"
}

func readRegister(state registerState, out registerOutput) (bool, registerState) {
	if out.value == nil || !state.exists {
		return (out.value == nil) == !state.exists, state
	}
	if *out.value != state.value {
		return false, state
	}
	if out.version == 0 || out.version == state.version {
		return true, state
	}
	if state.version != 0 || out.version <= state.floor {
		return false, state
	}
	state.version = out.version
	return true, state
}

// mayGet says whether a write may get this version; 0: it is not told.
func (s registerState) mayGet(version int64) bool {
	return version == 0 || version > highest(s.floor, s.version)
}

// after is the state once the write has taken effect; a version of 0 is not told.
func (s registerState) after(input registerInput, version int64) registerState {
	next := s.written(input.value, version)
	if input.function == "del" || input.function == "cad" {
		next.exists, next.version = false, 0
		next.floor = highest(next.floor, version)
	}
	return next
}

func (s registerState) written(value string, version int64) registerState {
	return registerState{exists: true, value: value, version: version, floor: highest(s.floor, s.version)}
}

func (s registerState) mayMatch(ifVersion int64) bool {
	switch {
	case ifVersion == 0:
		return !s.exists
	case ifVersion == mustExist:
		return s.exists
	}
	return s.exists && (s.version == ifVersion || s.version == 0 && ifVersion > s.floor)
}

func (s registerState) mustMatch(ifVersion int64) bool {
	return s.mayMatch(ifVersion) && (ifVersion <= 0 || s.version != 0)
}

func highest(a, b int64) int64 {
	if a > b {
		return a
	}
	return b
}

// groups: a get alone. Where no operation says that it found something, also all writes of a value together with the gets
// that saw it, a delete that found nothing, and one that no remaining operation can have found nothing because of.
func (register) groups(ops []operation) [][]int {
	var gets, others [][]int
	byValue := map[string][]int{}
	whole := true
	barrier := deleteBarrier(ops)
	for i, op := range ops {
		out, _ := op.output.(registerOutput)
		switch in := op.input.(registerInput); in.function {
		case "get":
			gets = append(gets, []int{i})
			if out.value != nil {
				byValue[*out.value] = append(byValue[*out.value], i)
			}
		case "put":
			byValue[in.value] = append(byValue[in.value], i)
		case "del":
			whole = whole && (out.existed == nil || *out.existed == 0)
			if foundNothing(op) || op.ret < barrier || barrier == forever {
				others = append(others, []int{i})
			}
		case "cas", "cad":
			whole = false
		}
	}
	if !whole {
		return gets
	}
	groups := append(gets, others...)
	for _, group := range byValue {
		groups = append(groups, group)
	}
	// Maps have no order, and a verdict must be the same each time.
	sort.SliceStable(groups, func(i, j int) bool { return groups[i][0] < groups[j][0] })
	return groups
}

// foundNothing: a get, or a delete, that says so.
func foundNothing(op operation) bool {
	out, known := op.output.(registerOutput)
	switch op.input.(registerInput).function {
	case "get":
		return known && out.value == nil
	case "del":
		return known && out.existed != nil && *out.existed == 0
	}
	return false
}

// deleteBarrier: a delete that ended before it is followed, in every order, by a put before each operation that found
// nothing, so that none of them found nothing because of it.
func deleteBarrier(ops []operation) int64 {
	var puts []operation
	for _, op := range ops {
		if op.input.(registerInput).function == "put" {
			puts = append(puts, op)
		}
	}
	sort.Slice(puts, func(i, j int) bool { return puts[i].ret < puts[j].ret })
	latestCall := make([]int64, len(puts)+1) // of the first so many puts
	latestCall[0] = math.MinInt64
	for i, put := range puts {
		latestCall[i+1] = highest(latestCall[i], put.call)
	}
	var barrier int64 = forever
	for _, op := range ops {
		if !foundNothing(op) {
			continue
		}
		before := sort.Search(len(puts), func(i int) bool { return puts[i].ret >= op.call })
		if latestCall[before] < barrier {
			barrier = latestCall[before]
		}
	}
	return barrier
}
