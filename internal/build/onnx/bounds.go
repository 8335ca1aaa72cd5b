package onnx

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// What a model in the wire format of protobuf may consist of. An empty node takes
// 2 bytes in a file and 300 in memory, so that the length alone bounds nothing. The
// networks that this project is for have some thousand parts.
const (
	maxParts = 1 << 20 // messages and texts
	maxDepth = 64      // of messages in messages
)

// bounded tells whether content, a message of that kind, can be read in memory that
// is in proportion to it. What is damaged is left for the parser to complain of.
func bounded(content []byte, kind protoreflect.MessageDescriptor) error {
	parts := 0
	return countParts(content, kind, 0, &parts)
}

func countParts(content []byte, kind protoreflect.MessageDescriptor, depth int, parts *int) error {
	if depth > maxDepth {
		return fmt.Errorf("%w: it has more than %d levels", ErrFormat, maxDepth)
	}
	for len(content) > 0 {
		number, wire, n := protowire.ConsumeTag(content)
		if n < 0 {
			return nil
		}
		content = content[n:]
		if n = protowire.ConsumeFieldValue(number, wire, content); n < 0 {
			return nil
		}
		value := content[:n]
		content = content[n:]
		field := kind.Fields().ByNumber(number)
		if field == nil || wire != protowire.BytesType {
			continue
		}
		isMessage := field.Kind() == protoreflect.MessageKind
		if isMessage || field.IsList() && !field.IsPacked() {
			if *parts++; *parts > maxParts {
				return fmt.Errorf("%w: it has more than %d parts", ErrFormat, maxParts)
			}
		}
		if isMessage {
			inner, _ := protowire.ConsumeBytes(value) // whole, as ConsumeFieldValue has seen
			if err := countParts(inner, field.Message(), depth+1, parts); err != nil {
				return err
			}
		}
	}
	return nil
}
