package model

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

// Errors of Find.
var (
	// ErrNoModel: what was unpacked cannot be run.
	ErrNoModel = errors.New("there is no model that can be run")
	// ErrNothing: there is no folder, or nothing in it. It wraps ErrNoModel.
	ErrNothing = fmt.Errorf("%w: nothing was unpacked", ErrNoModel)
)

// maxDepth is how deep below the folder a model may lie: tar puts the name of a
// folder before what is in it.
const maxDepth = 3

// Find returns the folder at or below dir that holds a model as brainseg runs it:
// what the training script's archive unpacks to, or what model-build made. The
// error of anything else wraps ErrNoModel, says what it is and what to do.
func Find(dir string) (string, error) {
	var folders, networks, mxnet []string
	files := 0
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		relative, relErr := filepath.Rel(dir, path)
		switch {
		case err != nil:
			return err
		case relErr != nil:
			return relErr
		case relative == ".":
			return nil
		case strings.HasPrefix(entry.Name(), ".") || entry.Name() == "__MACOSX": // left by other programs
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case entry.IsDir():
			if strings.Count(relative, string(filepath.Separator)) >= maxDepth {
				return fs.SkipDir
			}
			return nil
		}
		files++
		switch name := entry.Name(); {
		case name == ManifestName:
			folders = append(folders, filepath.Dir(path))
		case strings.HasSuffix(name, ".onnx"):
			networks = append(networks, relative)
		case strings.HasSuffix(name, "-symbol.json"), strings.HasSuffix(name, ".params"):
			mxnet = append(mxnet, relative)
		}
		return nil
	})
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && files == 0:
		return "", fmt.Errorf("%w in %s; give the model's archive as ModelDataUrl", ErrNothing, dir)
	case err != nil:
		return "", fmt.Errorf("%w: look into %s: %w", ErrNoModel, dir, err)
	case len(folders) == 1:
		return folders[0], nil
	case len(folders) > 1:
		return "", fmt.Errorf("%w: %s has %s in several folders; leave one model in the archive", ErrNoModel, dir, ManifestName)
	case len(mxnet) > 0:
		return "", fmt.Errorf("%w: %s holds a model of MXNet (%s), which has to be converted first: run model-build all with the training job's name, then model-build host with the package that it made", ErrNoModel, dir, mxnet[0])
	case len(networks) > 0:
		return "", fmt.Errorf("%w: there is no %s beside %s; run model-build all with --manifest, then model-build host with the package that it made", ErrNoModel, ManifestName, networks[0])
	}
	return "", fmt.Errorf("%w: %s holds neither NAME.onnx with %s nor a model of MXNet; give the archive of a training job of brainseg's script, or one that model-build host made", ErrNoModel, dir, ManifestName)
}
