package mxnet

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
)

// Symbol is a graph: nodes in an order in which each comes after its inputs.
type Symbol struct {
	Nodes []Node
	// Heads are the outputs of the graph.
	Heads []Edge
	// Version of MXNet that wrote the graph, as in 10901 for 1.9.1; 0 where the
	// file does not say.
	Version int
}

// Node is a node of a graph.
type Node struct {
	// Op is the operator, "null" for a variable.
	Op   string
	Name string
	// Attrs are the operator's parameters, in MXNet's spelling, and those that
	// users set; of a variable only the latter.
	Attrs  map[string]string
	Inputs []Edge
}

// Edge is one output of a node.
type Edge struct {
	Node   int // index into Symbol.Nodes
	Output int
}

// Variable is the operator of parameters and inputs, which have none.
const Variable = "null"

// MaxEdges bounds the inputs of a node.
const MaxEdges = 1 << 12

// symbolFile is the JSON of a graph. Parameters of operators were called param
// until 0.8 (where attr was what users set), attr until 0.12 and attrs from then
// on. MXNet reads all three, and so does this.
type symbolFile struct {
	Nodes []struct {
		Op        string            `json:"op"`
		Name      string            `json:"name"`
		Param     map[string]string `json:"param"`
		Attr      map[string]string `json:"attr"`
		Attrs     map[string]string `json:"attrs"`
		Inputs    []fileEdge        `json:"inputs"`
		Subgraphs []json.RawMessage `json:"subgraphs"`
	} `json:"nodes"`
	Heads []fileEdge                 `json:"heads"`
	Attrs map[string]json.RawMessage `json:"attrs"`
	Attr  map[string]json.RawMessage `json:"attr"`
}

// fileEdge is a node's index, an output's, and, from 0.9 on, a version that only
// training uses.
type fileEdge []int

func (e fileEdge) edge(nodes int) (Edge, error) {
	if len(e) < 2 || len(e) > 3 || e[0] < 0 || e[0] >= nodes || e[1] < 0 || e[1] >= MaxEdges {
		return Edge{}, fmt.Errorf("%v names no output of a node before it", []int(e))
	}
	return Edge{Node: e[0], Output: e[1]}, nil
}

// ParseSymbol reads the content of a symbol file.
func ParseSymbol(content []byte) (*Symbol, error) {
	symbol, err := parseSymbol(content)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return symbol, nil
}

func parseSymbol(content []byte) (*Symbol, error) {
	var file symbolFile
	if err := json.Unmarshal(content, &file); err != nil {
		return nil, err
	}
	if len(file.Nodes) == 0 || len(file.Heads) == 0 {
		return nil, errors.New("there are no nodes, or no heads; is it a symbol file?")
	}
	s := new(Symbol)
	// Nodes that are added move those behind them.
	position := make([]int, len(file.Nodes))
	for i, from := range file.Nodes {
		node := Node{Op: from.Op, Name: from.Name, Attrs: make(map[string]string)}
		if node.Op == "" {
			return nil, fmt.Errorf("node %d, %q, has no operator", i, node.Name)
		}
		if len(from.Subgraphs) > 0 {
			return nil, fmt.Errorf("node %q: operator %s has graphs inside, which are not supported", node.Name, node.Op)
		}
		if len(from.Inputs) > MaxEdges {
			return nil, fmt.Errorf("node %q has %d inputs", node.Name, len(from.Inputs))
		}
		// The earlier spelling counts where two give the same name, as in MXNet.
		for _, attributes := range []map[string]string{from.Param, from.Attrs, from.Attr} {
			maps.Copy(node.Attrs, attributes)
		}
		for _, in := range from.Inputs {
			edge, err := in.edge(i)
			if err != nil {
				return nil, fmt.Errorf("node %q: input %w", node.Name, err)
			}
			edge.Node = position[edge.Node]
			node.Inputs = append(node.Inputs, edge)
		}
		s.addStatistics(&node)
		position[i] = len(s.Nodes)
		s.Nodes = append(s.Nodes, node)
	}
	for _, head := range file.Heads {
		edge, err := head.edge(len(file.Nodes))
		if err != nil {
			return nil, fmt.Errorf("head %w", err)
		}
		edge.Node = position[edge.Node]
		s.Heads = append(s.Heads, edge)
	}
	for _, attributes := range []map[string]json.RawMessage{file.Attr, file.Attrs} {
		var version struct {
			kind   string
			number int
		}
		if err := json.Unmarshal(attributes["mxnet_version"], &[]any{&version.kind, &version.number}); err == nil {
			s.Version = version.number
		}
	}
	return s, nil
}

// addStatistics adds the running mean and variance of a normalisation, which
// graphs did not name before 0.9.
func (s *Symbol) addStatistics(node *Node) {
	if !isBatchNorm(node.Op) || len(node.Inputs) != 3 {
		return
	}
	for _, name := range []string{"moving_mean", "moving_var"} {
		if node.Name != "" {
			name = node.Name + "_" + name
		}
		node.Inputs = append(node.Inputs, Edge{Node: len(s.Nodes)})
		s.Nodes = append(s.Nodes, Node{Op: Variable, Name: name, Attrs: make(map[string]string)})
	}
}

func isBatchNorm(op string) bool { return strings.HasPrefix(op, "BatchNorm") || op == "CuDNNBatchNorm" }
