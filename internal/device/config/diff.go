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
