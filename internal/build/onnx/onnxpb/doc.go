// Package onnxpb has the messages of the official onnx.proto, which lies beside
// it, as protoc makes them. It checks nothing; package onnx does. What reads,
// changes or makes networks calls it.
package onnxpb
