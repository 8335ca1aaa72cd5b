package config

import "reflect"

// Changes says which groups of the configuration differ between two, by the
// names of Config's members.
type Changes struct {
	Topics, Model, Images, Output, S3, Service, Queue, HTTP, DICOM, IPC, IoTCore, Health, Log bool
}

// Diff compares two configurations group by group.
func Diff(old, next Config) (c Changes) {
	from, to, changes := reflect.ValueOf(old), reflect.ValueOf(next), reflect.ValueOf(&c).Elem()
	for i := range from.NumField() {
		if !reflect.DeepEqual(from.Field(i).Interface(), to.Field(i).Interface()) {
			changes.FieldByName(from.Type().Field(i).Name).SetBool(true)
		}
	}
	return c
}

// Any reports whether anything differs.
func (c Changes) Any() bool { return c != Changes{} }

// Groups lists what differs, by the names of Config's members.
func (c Changes) Groups() (names []string) {
	v := reflect.ValueOf(c)
	for i := range v.NumField() {
		if v.Field(i).Bool() {
			names = append(names, v.Type().Field(i).Name)
		}
	}
	return names
}

// atStart are the keys that take effect at the start of a process.
var atStart = []struct {
	key string
	of  func(*Config) *string
}{
	{"model.library", func(c *Config) *string { return &c.Model.Library }},
	{"queue.folder", func(c *Config) *string { return &c.Queue.Folder }},
}

// Live returns next as far as it can take effect in a process that works by current,
// and the keys that must wait for a new one: they are as in current.
func Live(current, next Config) (live Config, waiting []string) {
	live = next
	for _, k := range atStart {
		if to := k.of(&live); *to != *k.of(&current) {
			*to = *k.of(&current)
			waiting = append(waiting, k.key)
		}
	}
	return live, waiting
}
