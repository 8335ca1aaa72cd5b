package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/brainseg/brainseg/schemas"
)

// leaf is what the schema says of one key.
type leaf struct {
	Minimum, Maximum *int64
	Default          any
}

// schemaLeaves returns the keys of the schema, as group and name.
func schemaLeaves(t *testing.T) map[[2]string]leaf {
	t.Helper()
	var document struct {
		Properties map[string]struct{ Properties map[string]leaf }
	}
	if err := json.Unmarshal(schemas.Configuration, &document); err != nil {
		t.Fatal(err)
	}
	leaves := make(map[[2]string]leaf)
	for group, g := range document.Properties {
		for name, l := range g.Properties {
			leaves[[2]string{group, name}] = l
		}
	}
	return leaves
}

func schemaAccepts(t *testing.T, document []byte) bool {
	t.Helper()
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(schemas.Configuration))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("configuration", schema); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("configuration")
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		t.Fatal(err)
	}
	return compiled.Validate(value) == nil
}

func TestTheSchemaHasEveryKeyWithItsDefault(t *testing.T) {
	defaults := make(map[string]map[string]any)
	for key, l := range schemaLeaves(t) {
		if defaults[key[0]] == nil {
			defaults[key[0]] = make(map[string]any)
		}
		defaults[key[0]][key[1]] = l.Default
	}
	document, err := json.Marshal(defaults)
	if err != nil {
		t.Fatal(err)
	}
	got, unknown, err := Parse(document)
	if err != nil || len(unknown) > 0 {
		t.Fatalf("the schema's defaults: error %v, unknown keys %q", err, unknown)
	}
	want, _, err := Parse([]byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.Transformer("empty", func(list []string) string { return fmt.Sprint(list) })); diff != "" {
		t.Errorf("configuration (-without +of the schema's defaults):\n%s", diff)
	}
	for _, key := range documentedKeys(t) {
		var group, name string
		for i := range key {
			if key[i] == '.' {
				group, name = key[:i], key[i+1:]
			}
		}
		if _, ok := schemaLeaves(t)[[2]string{group, name}]; !ok {
			t.Errorf("the schema lacks %s", key)
		}
	}
}

func TestTheSchemaAgreesWithTheParser(t *testing.T) {
	set := func(group, name string, value any) []byte {
		document, err := json.Marshal(map[string]any{group: map[string]any{name: value}})
		if err != nil {
			t.Fatal(err)
		}
		return document
	}
	var documents [][]byte
	for key, l := range schemaLeaves(t) {
		documents = append(documents, set(key[0], key[1], l.Default), set(key[0], key[1], map[string]any{"no": "leaf"}))
		if l.Minimum == nil {
			continue
		}
		for _, n := range []int64{*l.Minimum, *l.Maximum, *l.Minimum - 1, *l.Maximum + 1} {
			documents = append(documents, set(key[0], key[1], n))
		}
		documents = append(documents, set(key[0], key[1], fmt.Sprint(*l.Maximum)), set(key[0], key[1], "many"), set(key[0], key[1], 1.5), set(key[0], key[1], true))
	}
	documents = append(documents,
		set("log", "level", "trace"), set("log", "level", "warn"),
		set("s3", "pathStyle", "true"), set("s3", "pathStyle", "yes"), set("s3", "endpoint", "ftp://x"), set("s3", "buckets", "one"), set("s3", "encryption", "AES256"), set("s3", "encryption", "aws:kms:eu"), set("s3", "encryption", "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab"), set("s3", "buckets", []any{1}),
		set("topics", "result", "with/+/wildcard"), set("topics", "result", ""),
		[]byte(`{"images": ["scans"]}`), []byte(`{"service": 2}`), []byte(`{"service": null}`), []byte(`{"service": {"queue": null}}`), []byte(`{"log": {"level": null}}`), []byte(`{"unknown": {"key": 1}}`), []byte(`{"accessControl": {}}`), []byte(`[]`),
	)
	for _, document := range documents {
		_, _, err := Parse(document)
		if schemaAccepts(t, document) != (err == nil) {
			t.Errorf("%s: the parser says %v, the schema the opposite", document, err)
		}
	}
}
