package main

import (
	"runtime"
	"sort"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// verdict on a whole history: illegal when a key is, unknown when a key could not be decided.
type verdict struct {
	illegal []string
	unknown []string
}

// judge checks every key, a few at a time: the search for one key may need much memory.
func judge(h *history, deadline time.Time) verdict {
	keys := make([]string, 0, len(h.ops))
	for key := range h.ops {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	queue := make(chan string)
	var result verdict
	var lock sync.Mutex
	var workers sync.WaitGroup
	for i := 0; i < runtime.GOMAXPROCS(0); i++ {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for key := range queue {
				answer := check(h.model, h.ops[key], deadline)
				lock.Lock()
				switch answer {
				case porcupine.Illegal:
					result.illegal = append(result.illegal, key)
				case porcupine.Unknown:
					result.unknown = append(result.unknown, key)
				}
				lock.Unlock()
			}
		}()
	}
	for _, key := range keys {
		queue <- key
	}
	close(queue)
	workers.Wait()
	sort.Strings(result.illegal)
	sort.Strings(result.unknown)
	return result
}

func check(m model, ops []operation, deadline time.Time) porcupine.CheckResult {
	left := time.Until(deadline)
	if left <= 0 {
		return porcupine.Unknown
	}
	converted := make([]porcupine.Operation, len(ops))
	for i, op := range ops {
		converted[i] = porcupine.Operation{Input: op.input, Call: op.call, Output: op.output, Return: op.ret}
	}
	return porcupine.CheckOperationsTimeout(m.of(ops), converted, left)
}
