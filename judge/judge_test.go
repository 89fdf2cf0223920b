package main

import (
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// lines builds a history: each operation is `f v -> o @call-ret`, `-> ?` for an unknown outcome, `-> x` for a failure.
func historyOf(t *testing.T, modelName string, operations ...string) *history {
	t.Helper()
	h, err := readHistory(strings.NewReader(textOf(t, modelName, operations...)), nil)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func textOf(t *testing.T, modelName string, operations ...string) string {
	t.Helper()
	lines := []string{fmt.Sprintf(`{"meta":{"model":%q}}`, modelName)}
	for id, text := range operations {
		lines = append(lines, lineOf(t, id, text))
	}
	return strings.Join(lines, "\n") + "\n"
}

func lineOf(t *testing.T, id int, text string) string {
	t.Helper()
	var call, ret int64
	what, when, _ := strings.Cut(text, " @")
	if _, err := fmt.Sscanf(when, "%d-%d", &call, &ret); err != nil {
		t.Fatal(err)
	}
	asked, answer, _ := strings.Cut(what, " -> ")
	function, value, hasValue := strings.Cut(asked, " ")
	if !hasValue {
		value = "null"
	}
	state := "ok"
	switch answer {
	case "?":
		state, answer = "info", "null"
	case "x":
		state, answer = "fail", "null"
	case "":
		answer = "null"
	}
	return fmt.Sprintf(`{"p":%d,"id":%d,"f":%q,"k":"a","v":%s,"call":%d,"ret":%d,"st":%q,"o":%s}`,
		id%3, id, function, value, call, ret, state, answer)
}

var soon = func() time.Time { return time.Now().Add(10 * time.Second) }

func TestVerdicts(t *testing.T) {
	cases := []struct {
		name, model string
		legal       bool
		ops         []string
	}{
		{"register: write, read", "register", true, []string{`put {"h":"x"} @1-2`, `get -> {"h":"x","ver":4} @3-4`}},
		{"register: nothing at first", "register", true, []string{`get -> {"h":null} @1-2`}},
		{"register: concurrent read sees the old or the new", "register", true, []string{`put {"h":"x"} @1-2`, `put {"h":"y"} @3-9`, `get -> {"h":"y"} @4-5`, `get -> {"h":"y"} @6-7`}},
		{"register: touching intervals are concurrent", "register", true, []string{`put {"h":"x"} @1-5`, `get -> {"h":null} @5-6`}},
		{"register: new, then old again", "register", false, []string{`put {"h":"x"} @1-2`, `put {"h":"y"} @3-9`, `get -> {"h":"y"} @4-5`, `get -> {"h":"x"} @6-7`}},
		{"register: stale read", "register", false, []string{`put {"h":"x"} @1-2`, `put {"h":"y"} @3-4`, `get -> {"h":"x"} @5-6`}},
		{"register: lost write", "register", false, []string{`put {"h":"x"} @1-2`, `get -> {"h":null} @3-4`}},
		{"register: deleted, then there", "register", false, []string{`put {"h":"x"} @1-2`, `del @3-4`, `get -> {"h":"x"} @5-6`}},
		{"register: delete and again", "register", true, []string{`put {"h":"x"} @1-2`, `del -> {"n":1} @3-4`, `get -> {"h":null} @5-6`, `del -> {"n":0} @7-8`}},
		{"register: delete says it found nothing", "register", false, []string{`put {"h":"x"} @1-2`, `del -> {"n":0} @3-4`}},
		{"register: applied twice", "register", false, []string{`put {"h":"x"} @1-5`, `put {"h":"y"} @6-7`, `get -> {"h":"y"} @8-9`, `get -> {"h":"x"} @10-11`}},
		{"register: applied twice, told by the version alone", "register", false, []string{`put {"h":"x"} @1-5`, `get -> {"h":"x","ver":3} @6-7`, `get -> {"h":"x","ver":5} @8-9`}},
		{"register: versions fall", "register", false, []string{`put {"h":"x"} -> {"ver":7} @1-2`, `put {"h":"y"} -> {"ver":6} @3-4`}},
		{"register: versions fall over a delete", "register", false, []string{`put {"h":"x"} -> {"ver":7} @1-2`, `del @3-4`, `put {"h":"y"} @5-6`, `get -> {"h":"y","ver":7} @7-8`}},
		{"register: unknown write shows late", "register", true, []string{`put {"h":"x"} -> ? @1-2`, `get -> {"h":null} @3-4`, `get -> {"h":"x"} @5-6`}},
		{"register: unknown write never shows", "register", true, []string{`put {"h":"x"} -> ? @1-2`, `get -> {"h":null} @3-4`}},
		{"register: unknown write shows before it was called", "register", false, []string{`get -> {"h":"x"} @1-2`, `put {"h":"x"} -> ? @3-4`}},
		{"register: unknown write shows twice", "register", false, []string{`put {"h":"x"} -> ? @1-2`, `get -> {"h":"x"} @3-4`, `put {"h":"y"} @5-6`, `get -> {"h":"y"} @7-8`, `get -> {"h":"x"} @9-10`}},
		{"register: failed write shows", "register", false, []string{`put {"h":"x"} -> x @1-2`, `get -> {"h":"x"} @3-4`}},
		{"cas: by version", "register", true, []string{`put {"h":"x"} -> {"ver":3} @1-2`, `cas {"h":"y","ifVer":3} -> {"ok":true,"ver":4} @3-4`, `cas {"h":"z","ifVer":3} -> {"ok":false} @5-6`, `get -> {"h":"y"} @7-8`}},
		{"cas: refused although it matches", "register", false, []string{`put {"h":"x"} -> {"ver":3} @1-2`, `cas {"h":"y","ifVer":3} -> {"ok":false} @3-4`}},
		{"cas: two of the same version", "register", false, []string{`put {"h":"x"} -> {"ver":3} @1-2`, `cas {"h":"y","ifVer":3} -> {"ok":true} @3-9`, `cas {"h":"z","ifVer":3} -> {"ok":true} @3-9`}},
		{"cas: insert only", "register", true, []string{`cas {"h":"x","ifVer":0} -> {"ok":true} @1-2`, `cas {"h":"y","ifVer":0} -> {"ok":false} @3-4`, `get -> {"h":"x"} @5-6`}},
		{"cas: insert only over what is there", "register", false, []string{`put {"h":"x"} @1-2`, `cas {"h":"y","ifVer":0} -> {"ok":true} @3-4`}},
		{"cas: update only of what is not there", "register", false, []string{`cas {"h":"y","ifVer":-1} -> {"ok":true} @3-4`}},
		{"cas: unknown, either way", "register", true, []string{`put {"h":"x"} @1-2`, `cas {"h":"y","ifVer":9} -> ? @3-4`, `get -> {"h":"x"} @5-6`, `get -> {"h":"y"} @7-8`}},
		{"cad: by version", "register", true, []string{`put {"h":"x"} -> {"ver":3} @1-2`, `cad {"ifVer":3} -> {"ok":true,"ver":4} @3-4`, `get -> {"h":null} @5-6`, `cas {"h":"y","ifVer":0} -> {"ok":true,"ver":5} @7-8`}},
		{"cad: of another version", "register", false, []string{`put {"h":"x"} -> {"ver":3} @1-2`, `cad {"ifVer":2} -> {"ok":true} @3-4`}},
		{"cad: refused although it matches", "register", false, []string{`put {"h":"x"} -> {"ver":3} @1-2`, `cad {"ifVer":3} -> {"ok":false} @3-4`}},
		{"cad: what was deleted is read", "register", false, []string{`put {"h":"x"} -> {"ver":3} @1-2`, `cad {"ifVer":3} -> {"ok":true} @3-4`, `get -> {"h":"x"} @5-6`}},
		{"cad: two of the same version", "register", false, []string{`put {"h":"x"} -> {"ver":3} @1-2`, `cad {"ifVer":3} -> {"ok":true} @3-9`, `cad {"ifVer":3} -> {"ok":true} @3-9`}},
		{"cad: unknown, either way", "register", true, []string{`put {"h":"x"} -> {"ver":3} @1-2`, `cad {"ifVer":3} -> ? @3-4`, `get -> {"h":"x"} @5-6`, `get -> {"h":null} @7-8`}},
		{"cad: unknown, and unmatched for good", "register", false, []string{`put {"h":"x"} -> {"ver":3} @1-2`, `cad {"ifVer":2} -> ? @3-4`, `get -> {"h":null} @5-6`}},
		{"cas: unknown, and unmatched for good", "register", false, []string{`put {"h":"x"} -> {"ver":3} @1-2`, `cas {"h":"y","ifVer":2} -> ? @3-4`, `get -> {"h":"y"} @5-6`}},
		{"set: scan sees all acknowledged", "set", true, []string{`insert "a" @1-2`, `insert "b" @3-9`, `scan -> ["a"] @4-5`, `scan -> ["b","a"] @6-7`}},
		{"set: lost element", "set", false, []string{`insert "a" @1-2`, `insert "b" @3-4`, `scan -> ["b"] @5-6`}},
		{"set: stale scan", "set", false, []string{`insert "a" @1-9`, `scan -> ["a"] @2-3`, `scan -> [] @4-5`}},
		{"set: never inserted", "set", false, []string{`insert "a" @1-2`, `scan -> ["a","z"] @5-6`}},
		{"set: unknown insert", "set", true, []string{`insert "a" -> ? @1-2`, `scan -> [] @3-4`, `scan -> ["a"] @5-6`}},
		{"counter: adds up", "counter", true, []string{`incr -> {"n":1} @1-2`, `incr 5 @3-4`, `get -> {"n":6} @5-6`}},
		{"counter: applied twice", "counter", false, []string{`incr @1-2`, `get -> {"n":2} @3-4`}},
		{"counter: lost", "counter", false, []string{`incr @1-2`, `incr @1-2`, `get -> {"n":1} @3-4`}},
		{"counter: unknown counts once or not", "counter", true, []string{`incr -> ? @1-2`, `get -> {"n":0} @3-4`, `get -> {"n":1} @5-6`}},
		{"counter: unknown counts twice", "counter", false, []string{`incr -> ? @1-2`, `get -> {"n":2} @3-4`}},
		{"counter: two get the same turn", "counter", false, []string{`incr -> {"n":1} @1-9`, `incr -> {"n":1} @1-9`}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			result := judge(historyOf(t, c.model, c.ops...), soon())
			if legal := len(result.illegal) == 0; legal != c.legal || len(result.unknown) > 0 {
				t.Fatalf("legal: %v, expected %v; unknown: %v", legal, c.legal, result.unknown)
			}
		})
	}
}

func TestMalformed(t *testing.T) {
	good := lineOf(t, 0, `put {"h":"x"} @1-2`)
	meta := `{"meta":{"model":"register"}}`
	cases := map[string]string{
		"empty":                      "",
		"no meta":                    good + "\n",
		"second meta":                meta + "\n" + meta + "\n",
		"unknown model":              `{"meta":{"model":"queue"}}` + "\n",
		"cut short":                  meta + "\n" + good,
		"cut short, no JSON":         meta + "\n" + good[:20] + "\n",
		"two values":                 meta + "\n" + good + good + "\n",
		"blank line":                 meta + "\n\n",
		"same id twice":              meta + "\n" + good + "\n" + good + "\n",
		"return before call":         meta + "\n" + lineOf(t, 0, `put {"h":"x"} @2-1`) + "\n",
		"unknown function":           meta + "\n" + lineOf(t, 0, `append "x" @1-2`) + "\n",
		"of another model":           meta + "\n" + lineOf(t, 0, `incr @1-2`) + "\n",
		"unknown status":             meta + "\n" + strings.Replace(good, `"ok"`, `"okay"`, 1) + "\n",
		"no return":                  meta + "\n" + strings.Replace(good, `"ret":2,`, "", 1) + "\n",
		"no key":                     meta + "\n" + strings.Replace(good, `"k":"a"`, `"k":""`, 1) + "\n",
		"no id":                      meta + "\n" + strings.Replace(good, `"id":0,`, "", 1) + "\n",
		"put of nothing":             meta + "\n" + lineOf(t, 0, `put @1-2`) + "\n",
		"get without answer":         meta + "\n" + lineOf(t, 0, `get @1-2`) + "\n",
		"cad of what must not exist": meta + "\n" + lineOf(t, 0, `cad {"ifVer":0} -> {"ok":true} @1-2`) + "\n",
		"cas without terms":          meta + "\n" + lineOf(t, 0, `cas {"h":"x"} -> {"ok":true} @1-2`) + "\n",
		"float time":                 meta + "\n" + strings.Replace(good, `"ret":2`, `"ret":2.5`, 1) + "\n",
	}
	for name, text := range cases {
		t.Run(name, func(t *testing.T) {
			if _, err := readHistory(strings.NewReader(text), nil); err == nil {
				t.Fatal("accepted")
			}
		})
	}
	if _, err := readHistory(strings.NewReader(meta+"\n"+good+"\n"), nil); err != nil {
		t.Fatal(err)
	}
}

func TestCallsFile(t *testing.T) {
	put, get := `put {"h":"x"} @1-2`, `get -> {"h":"x"} @5-6`
	all := lineOf(t, 0, put) + "\n" + lineOf(t, 1, get) + "\n"
	read := func(calls string, operations ...string) (*history, error) {
		return readHistory(strings.NewReader(textOf(t, "register", operations...)), strings.NewReader(calls))
	}
	h, err := read(all, put, get)
	if err != nil || h.total != 2 {
		t.Fatal(h, err)
	}
	// The client died: its write is open, and the read of another, here under id 0, sees it.
	open := strings.Replace(all, `"id":1`, `"id":9`, 1)
	h, err = read(strings.Replace(open, `"f":"get"`, `"f":"put"`, 1), put)
	if err == nil || !strings.Contains(err.Error(), "v is not") {
		t.Fatal("an open call is checked like any other", err)
	}
	h, err = read(all, put)
	if err != nil || h.unknown != 1 || h.total != 2 {
		t.Fatal(h, err)
	}
	for name, calls := range map[string]string{
		"misses one":        lineOf(t, 0, put) + "\n",
		"has one twice":     all + lineOf(t, 0, put) + "\n",
		"other time":        strings.Replace(all, `"call":5`, `"call":4`, 1),
		"cut short at last": strings.TrimSuffix(all, "\n"),
	} {
		if _, err := read(calls, put, get); err == nil {
			t.Fatal("accepted a calls file that", name)
		}
	}
}

// A legal history of a register that linearizes at the call of each operation, some far apart and some on top of others.
func legalHistory(random *rand.Rand, count int) []string {
	var ops []string
	value, version := `null`, 0
	for i := 0; i < count; i++ {
		at := int64(i*10 + 1)
		end := at + int64(random.Intn(40))
		switch draw := random.Float64(); {
		case draw < 0.4:
			version = i + 1
			value = fmt.Sprintf(`"v%d"`, i)
			ops = append(ops, fmt.Sprintf(`put {"h":%s} @%d-%d`, value, at, end))
		case draw < 0.5:
			value = `null`
			ops = append(ops, fmt.Sprintf(`del @%d-%d`, at, end))
		case value == `null`:
			ops = append(ops, fmt.Sprintf(`get -> {"h":null} @%d-%d`, at, end))
		default:
			ops = append(ops, fmt.Sprintf(`get -> {"h":%s,"ver":%d} @%d-%d`, value, version, at, end))
		}
	}
	return ops
}

func TestPlantedViolationIsFoundAndMadeShort(t *testing.T) {
	random := rand.New(rand.NewSource(7))
	ops := legalHistory(random, 4000)
	if result := judge(historyOf(t, "register", ops...), soon()); len(result.illegal) > 0 {
		t.Fatal("the history is legal before anything is planted")
	}
	staleAt := int64(20_005)
	ops = append(ops,
		fmt.Sprintf(`put {"h":"old"} @%d-%d`, staleAt, staleAt),
		fmt.Sprintf(`put {"h":"new"} @%d-%d`, staleAt+1, staleAt+1),
		fmt.Sprintf(`get -> {"h":"old"} @%d-%d`, staleAt+2, staleAt+2))
	h := historyOf(t, "register", ops...)
	if result := judge(h, soon()); len(result.illegal) != 1 {
		t.Fatal("not found", result)
	}
	short := window(h.model, h.ops["a"], soon())
	if len(short) != 3 {
		for _, op := range short {
			t.Log(op.record.text)
		}
		t.Fatalf("%d operations are left", len(short))
	}
	if check(h.model, short, soon()) != porcupine.Illegal {
		t.Fatal("what is left is legal")
	}
}

// bruteForce tries every order, without any cleverness.
func bruteForce(spec porcupine.Model, ops []operation, state interface{}, left []int) bool {
	if len(left) == 0 {
		return true
	}
	for i, at := range left {
		first := true
		for _, other := range left {
			first = first && ops[other].ret >= ops[at].call
		}
		if !first {
			continue
		}
		ok, next := spec.Step(state, ops[at].input, ops[at].output)
		rest := append(append([]int(nil), left[:i]...), left[i+1:]...)
		if ok && bruteForce(spec, ops, next, rest) {
			return true
		}
	}
	return false
}

func randomOps(random *rand.Rand) []string {
	var ops []string
	for i := 0; i < 6; i++ {
		from := random.Intn(20)
		to := from + random.Intn(10)
		value := string(rune('a' + random.Intn(3)))
		choices := []string{
			fmt.Sprintf(`put {"h":%q} @%d-%d`, value, from, to),
			fmt.Sprintf(`put {"h":%q} -> ? @%d-%d`, value, from, to),
			fmt.Sprintf(`get -> {"h":%q,"ver":%d} @%d-%d`, value, random.Intn(3), from, to),
			fmt.Sprintf(`get -> {"h":%q} @%d-%d`, value, from, to),
			fmt.Sprintf(`get -> {"h":null} @%d-%d`, from, to),
			fmt.Sprintf(`del -> {"n":%d} @%d-%d`, random.Intn(2), from, to),
			fmt.Sprintf(`cas {"h":%q,"ifVer":%d} -> {"ok":%v} @%d-%d`, value, random.Intn(4)-1, random.Intn(2) == 0, from, to),
			fmt.Sprintf(`cas {"h":%q,"ifVer":%d} -> ? @%d-%d`, value, random.Intn(4)-1, from, to),
			fmt.Sprintf(`cad {"ifVer":%d} -> {"ok":%v} @%d-%d`, []int{-1, 1, 2}[random.Intn(3)], random.Intn(2) == 0, from, to),
			fmt.Sprintf(`cad {"ifVer":%d} -> ? @%d-%d`, []int{-1, 1, 2}[random.Intn(3)], from, to),
		}
		ops = append(ops, choices[random.Intn(len(choices))])
	}
	return ops
}

func TestAgreesWithTryingEveryOrder(t *testing.T) {
	random := rand.New(rand.NewSource(11))
	illegal := 0
	for round := 0; round < 2000; round++ {
		text := randomOps(random)
		h := historyOf(t, "register", text...)
		ops := h.ops["a"]
		spec := h.model.of(ops)
		left := make([]int, len(ops))
		for i := range left {
			left[i] = i
		}
		expected := bruteForce(spec, ops, spec.Init(), left)
		if found := check(h.model, ops, soon()) == porcupine.Ok; found != expected {
			t.Fatalf("legal: %v, by every order: %v\n%s", found, expected, strings.Join(text, "\n"))
		}
		if expected {
			continue
		}
		illegal++
		if short := window(h.model, ops, soon()); check(h.model, short, soon()) != porcupine.Illegal {
			t.Fatalf("the window is legal\n%s", strings.Join(text, "\n"))
		}
	}
	if illegal < 200 || illegal > 1800 {
		t.Fatalf("%d of 2000 are illegal: the histories do not tell", illegal)
	}
}

// Leaving out a group must never make a legal history illegal, or the window would show what is no violation.
func TestGroupsMayBeLeftOut(t *testing.T) {
	random := rand.New(rand.NewSource(13))
	legal := 0
	for round := 0; round < 2000; round++ {
		h := historyOf(t, "register", randomOps(random)...)
		ops := h.ops["a"]
		if check(h.model, ops, soon()) != porcupine.Ok {
			continue
		}
		legal++
		for _, group := range h.model.groups(ops) {
			if check(h.model, without(ops, [][]int{group}), soon()) != porcupine.Ok {
				t.Fatalf("without %v it is illegal:\n%v", group, ops)
			}
		}
	}
	if legal < 100 {
		t.Fatalf("only %d legal histories", legal)
	}
}

func TestExitCodes(t *testing.T) {
	folder := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	legal := write("legal.jsonl", textOf(t, "register", `put {"h":"x"} @1-2`, `get -> {"h":"x"} @3-4`))
	stale := write("stale.jsonl", textOf(t, "register", `put {"h":"x"} @1-2`, `get -> {"h":null} @3-4`))
	broken := write("broken.jsonl", "{}\n")
	bounds := limits{timeout: 10 * time.Second, ackedMin: 1}
	for path, expected := range map[string]int{legal: 0, stale: 1, broken: 3, filepath.Join(folder, "none"): 3} {
		if code := judgeFile(path, bounds); code != expected {
			t.Errorf("%s: exit code %d, expected %d", path, code, expected)
		}
	}
	if code := judgeFile(legal, limits{timeout: 0, ackedMin: 1}); code != exitUnknown {
		t.Errorf("out of time: exit code %d", code)
	}
	if code := judgeFile(legal, limits{timeout: 10 * time.Second, ackedMin: 3}); code != exitMalformed {
		t.Errorf("says too little: exit code %d", code)
	}
}
