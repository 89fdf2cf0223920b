package main

import (
	"sort"
	"time"

	"github.com/anishathalye/porcupine"
)

const stepTimeout = 2 * time.Second

// window makes an illegal history of one key as short as it can: first everything after the answer that made it illegal
// goes, then whatever a legal history could spare too, so that what is left is illegal by itself.
func window(m model, ops []operation, deadline time.Time) []operation {
	isIllegal := func(candidate []operation) bool {
		until := time.Now().Add(stepTimeout)
		if until.After(deadline) {
			until = deadline
		}
		return check(m, candidate, until) == porcupine.Illegal
	}
	ops = shortestPrefix(ops, isIllegal)
	ops = withoutCounts(ops, isIllegal)
	ops = reduce(m, ops, isIllegal)
	sort.SliceStable(ops, func(i, j int) bool { return ops[i].call < ops[j].call })
	return ops
}

// shortestPrefix: every prefix of a legal history is legal, so the answers can be halved.
func shortestPrefix(ops []operation, isIllegal func([]operation) bool) []operation {
	var returns []int64
	for _, op := range ops {
		if op.ret != forever {
			returns = append(returns, op.ret)
		}
	}
	sort.Slice(returns, func(i, j int) bool { return returns[i] < returns[j] })
	at := sort.Search(len(returns), func(i int) bool { return isIllegal(prefix(ops, returns[i])) })
	if at == len(returns) {
		return ops
	}
	return prefix(ops, returns[at])
}

// prefix is what had been seen by a moment: what was not answered by then is unknown. Reads drop out with their answers.
func prefix(ops []operation, until int64) []operation {
	var seen []operation
	for _, op := range ops {
		if op.call > until {
			continue
		}
		if op.ret > until {
			if op.record.Function == "get" || op.record.Function == "scan" {
				continue
			}
			op.ret, op.output = forever, nil
		}
		seen = append(seen, op)
	}
	return seen
}

// withoutCounts forgets what deletes said of what they found, where the rest is illegal without: then more can be left
// out. First all of them, then one by one.
func withoutCounts(ops []operation, isIllegal func([]operation) bool) []operation {
	var counted []int
	for i, op := range ops {
		if out, is := op.output.(registerOutput); is && out.existed != nil {
			counted = append(counted, i)
		}
	}
	if blind := withoutCountsAt(ops, counted); isIllegal(blind) {
		return blind
	}
	for _, at := range counted {
		if blind := withoutCountsAt(ops, []int{at}); isIllegal(blind) {
			ops = blind
		}
	}
	return ops
}

func withoutCountsAt(ops []operation, positions []int) []operation {
	blind := append([]operation(nil), ops...)
	for _, at := range positions {
		out := blind[at].output.(registerOutput)
		out.existed = nil
		blind[at].output = out
	}
	return blind
}

// reduce leaves out ever smaller bundles of groups as long as the rest stays illegal, until no single one can go.
func reduce(m model, ops []operation, isIllegal func([]operation) bool) []operation {
	for {
		before := len(ops)
		for size := (len(m.groups(ops)) + 1) / 2; size > 0; size /= 2 {
			ops = reduceBy(size, m, ops, isIllegal)
		}
		if len(ops) == before {
			return ops
		}
	}
}

func reduceBy(size int, m model, ops []operation, isIllegal func([]operation) bool) []operation {
	groups := m.groups(ops)
	for from := 0; from < len(groups); {
		rest := without(ops, groups[from:least(from+size, len(groups))])
		if len(rest) < len(ops) && isIllegal(rest) {
			ops = rest
			groups = m.groups(ops)
		} else {
			from += size
		}
	}
	return ops
}

func without(ops []operation, groups [][]int) []operation {
	gone := map[int]bool{}
	for _, group := range groups {
		for _, at := range group {
			gone[at] = true
		}
	}
	var rest []operation
	for i, op := range ops {
		if !gone[i] {
			rest = append(rest, op)
		}
	}
	return rest
}

func least(a, b int) int {
	if a < b {
		return a
	}
	return b
}
