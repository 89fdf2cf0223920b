// Command judge reads client-side histories and says whether they are linearizable. It shares nothing with the database:
// another language, another search (Porcupine), and only what clients wrote down.
//
// Exit codes: 0 legal, 1 illegal, 2 unknown (out of time or memory), 3 malformed. The worst of several files counts.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	exitLegal     = 0
	exitIllegal   = 1
	exitUnknown   = 2
	exitMalformed = 3
)

// How long may be spent on making what is illegal short.
const explainMax = 20 * time.Second

type limits struct {
	timeout  time.Duration
	memoryMb int
	ackedMin int
}

func main() {
	var bounds limits
	flag.DurationVar(&bounds.timeout, "timeout", 60*time.Second, "for each file; what is not decided by then is unknown")
	flag.IntVar(&bounds.memoryMb, "memory-mb", 4096, "above this the verdict is unknown")
	flag.IntVar(&bounds.ackedMin, "acked-min", 1, "a history with fewer acknowledged operations says nothing: malformed")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: judge [-timeout 60s] [-memory-mb 4096] [-acked-min 1] FILE.jsonl...")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(exitMalformed)
	}
	go watchMemory(bounds.memoryMb)
	worst := exitLegal
	for _, path := range flag.Args() {
		code := judgeFile(path, bounds)
		if rank(code) > rank(worst) {
			worst = code
		}
	}
	os.Exit(worst)
}

// rank orders exit codes by what must be looked at first.
func rank(code int) int {
	return map[int]int{exitLegal: 0, exitUnknown: 1, exitMalformed: 2, exitIllegal: 3}[code]
}

func judgeFile(path string, bounds limits) int {
	started := time.Now()
	deadline := started.Add(bounds.timeout)
	h, err := loadHistory(path)
	if err == nil && h.acked < bounds.ackedMin {
		err = bad(0, "only %d operations were acknowledged, %d are asked for", h.acked, bounds.ackedMin)
	}
	if err != nil {
		fmt.Printf("judge: %s: MALFORMED: %v\n", path, err)
		return exitMalformed
	}
	result := judge(h, deadline)
	figures := describe(h, time.Since(started))
	switch {
	case len(result.illegal) > 0:
		fmt.Printf("judge: %s: ILLEGAL: %s\n", path, figures)
		explain(h, result, time.Now().Add(explainMax))
		return exitIllegal
	case len(result.unknown) > 0:
		fmt.Printf("judge: %s: UNKNOWN, %d keys not decided, first %q: %s\n", path, len(result.unknown), result.unknown[0], figures)
		return exitUnknown
	}
	fmt.Printf("judge: %s: legal: %s\n", path, figures)
	return exitLegal
}

func describe(h *history, took time.Duration) string {
	opsMax, unknownMax := 0, 0
	for _, ops := range h.ops {
		if len(ops) > opsMax {
			opsMax = len(ops)
		}
	}
	for _, count := range h.unknownOf {
		if count > unknownMax {
			unknownMax = count
		}
	}
	return fmt.Sprintf("%s, %d ops (%d acked, %d info, %d fail), %d keys, at most %d ops and %d unknown writes a key, %.2f s",
		h.model.name(), h.total, h.acked, h.unknown, h.failed, len(h.ops), opsMax, unknownMax, took.Seconds())
}

const linesMax = 40

func explain(h *history, result verdict, deadline time.Time) {
	key := result.illegal[0]
	for _, each := range result.illegal {
		if len(h.ops[each]) < len(h.ops[key]) {
			key = each
		}
	}
	ops := window(h.model, h.ops[key], deadline)
	fmt.Printf("  %d keys are illegal; key %q by these %d operations alone:\n", len(result.illegal), key, len(ops))
	if len(ops) > linesMax {
		fmt.Printf("  (the last %d)\n", linesMax)
		ops = ops[len(ops)-linesMax:]
	}
	for _, op := range ops {
		fmt.Printf("  %s\n", op.record.text)
	}
}

// watchMemory ends the process before the kernel would: a verdict that needs more is unknown.
func watchMemory(limitMb int) {
	limit := uint64(limitMb) << 20
	debug.SetMemoryLimit(int64(limit))
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	for range time.Tick(50 * time.Millisecond) {
		metrics.Read(sample)
		if sample[0].Value.Uint64() > limit {
			fmt.Printf("judge: UNKNOWN: more than %d MB of memory\n", limitMb)
			os.Exit(exitUnknown)
		}
	}
}
