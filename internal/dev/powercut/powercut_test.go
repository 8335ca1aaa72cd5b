package powercut

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	childFolder = "POWERCUT_FOLDER"
	childFault  = "POWERCUT_FAULT"
)

func TestMain(m *testing.M) {
	if folder := os.Getenv(childFolder); folder != "" {
		if err := save(folder, os.Getenv(childFault)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// save keeps values in a file, each in the place of the one before, and says so;
// with a fault, not safely.
func save(root, fault string) error {
	folder := filepath.Join(root, "values")
	if err := os.Mkdir(folder, 0o700); err != nil {
		return err
	}
	sync := func(path string) error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		return f.Sync()
	}
	if fault != "no sync of the upper folder" {
		if err := sync(root); err != nil {
			return err
		}
	}
	for i := range 5 {
		path := filepath.Join(folder, "new")
		if err := os.WriteFile(path, value(i), 0o600); err != nil {
			return err
		}
		if err := setNumber(path, i); err != nil {
			return err
		}
		if fault != "no sync of the file" {
			if err := sync(path); err != nil {
				return err
			}
		}
		if err := os.Rename(path, filepath.Join(folder, "value")); err != nil {
			return err
		}
		if fault == "said too early" {
			fmt.Println("saved", i)
		}
		if fault != "no sync of the folder" {
			if err := sync(folder); err != nil {
				return err
			}
		}
		if fault == "written in place" {
			f, err := os.OpenFile(filepath.Join(folder, "value"), os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			if _, err := f.WriteAt(value(i + 1)[:2000], 0); err != nil {
				return err
			}
			f.Close()
		}
		if fault != "said too early" {
			fmt.Println("saved", i)
		}
	}
	return nil
}

// attribute of a value is its number.
const attribute = "user.number"

func setNumber(path string, i int) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Fsetxattr(int(f.Fd()), attribute, []byte{byte('0' + i)}, 0)
}

func value(i int) []byte { return []byte(strings.Repeat(fmt.Sprintf("value %d.", i), 1000)) }

// intact tells what is wrong with a disk.
func intact(root string, said []string) error {
	if len(said) == 0 {
		return nil
	}
	var last int
	if _, err := fmt.Sscanf(said[len(said)-1], "saved %d", &last); err != nil {
		return err
	}
	got, err := os.ReadFile(filepath.Join(root, "values", "value"))
	if err != nil {
		return err
	}
	if string(got) != string(value(last)) && string(got) != string(value(last+1)) {
		return errors.New("the value is not the one that was saved")
	}
	of := make([]byte, 8)
	n, err := unix.Getxattr(filepath.Join(root, "values", "value"), attribute, of)
	if err != nil || string(of[:n]) != string(got[6:7]) {
		return fmt.Errorf("the value is not the one that was saved: its attribute is %q, %w", of[:max(0, n)], err)
	}
	return nil
}

func record(t *testing.T, fault string) *Trace {
	t.Helper()
	folder := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childFolder+"="+folder, childFault+"="+fault)
	trace, err := Record(t.Context(), cmd, folder)
	if errors.Is(err, ErrNoStrace) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return trace
}

func TestAPowerCutFindsWhatIsNotSavedSafely(t *testing.T) {
	for fault, want := range map[string]string{
		"":                            "",
		"no sync of the file":         "not the one that was saved",
		"no sync of the folder":       "no such file",
		"no sync of the upper folder": "no such file",
		"said too early":              "no such file",
		"written in place":            "not the one that was saved",
	} {
		trace := record(t, fault)
		folder := filepath.Join(t.TempDir(), "disk")
		states := 0
		err := trace.States(StateOptions{Folder: folder, States: 500}, func(said []string) error {
			states++
			return intact(folder, said)
		})
		switch {
		case want == "" && (err != nil || states != 500):
			t.Errorf("a safe program, after %d states: %v", states, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s is not found in %d states: %v", fault, states, err)
		}
	}
}

func TestCallsAreReadWhateverThreadTheyInterrupt(t *testing.T) {
	hex := func(s string) string {
		var b strings.Builder
		for _, c := range []byte(s) {
			fmt.Fprintf(&b, `\x%02x`, c)
		}
		return b.String()
	}
	cwd, file := "AT_FDCWD<"+hex("/f")+">", "3<"+hex("/f/a")+">"
	log := strings.Join([]string{
		`1 openat(` + cwd + `, "` + hex("a") + `", O_RDWR|O_CREAT|O_CLOEXEC, 0600) = ` + file,
		`1 pwrite64(` + file + `, "` + hex("one") + `", 3, 5) = 3`,
		`2 fdatasync(` + file + ` <unfinished ...>`,
		`1 write(1<` + hex("pipe:[1]") + `>, "` + hex("said\n") + `", 5 <unfinished ...>`,
		`2 <... fdatasync resumed>) = 0`,
		`1 <... write resumed>) = 5`,
		`1 write(` + file + `, "` + hex("two") + `", 3) = 3`,
		`1 openat(` + cwd + `, "` + hex("b") + `", O_WRONLY|O_CREAT|O_TRUNC|O_CLOEXEC, 0600) = 7<` + hex("/f/b") + `>`,
		`1 copy_file_range(` + file + `, NULL, 7<` + hex("/f/b") + `>, NULL, 1073741824, 0) = 5`,
		`1 copy_file_range(` + file + `, NULL, 7<` + hex("/f/b") + `>, NULL, 1073741824, 0) = 0`,
		`1 unlinkat(` + cwd + `, "` + hex("b") + `", 0) = 0`,
		`1 fsetxattr(` + file + `, "` + hex("user.a") + `", "` + hex("v") + `", 1, 0) = 0`,
		`1 renameat(` + cwd + `, "` + hex("/f/a") + `", ` + cwd + `, "` + hex("b") + `") = 0`,
		`1 unlinkat(` + cwd + `, "` + hex("c") + `", 0) = -1 ENOENT (No such file or directory)`,
		`1 fsync(4<` + hex("/f") + `>)      = 0`,
		`1 pwrite64(9<` + hex("/elsewhere") + `>, "` + hex("x") + `", 1, 0) = 1`,
		`2 +++ exited with 0 +++`,
		`3 ???( <detached ...>`,
		``,
	}, "\n")
	trace, err := parse(strings.NewReader(log), "/f")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range trace.operations {
		got = append(got, fmt.Sprint(o.kind, " ", o.path, " ", o.to, " ", o.offset, " ", string(o.data)))
		if o.kind == opCopy {
			got = append(got, fmt.Sprint(o.from, " ", o.start, " ", o.length))
		}
	}
	want := []string{"0 a  0 ", "2 a  5 one", "8   0 said\n", "4 a  0 ", "2 a  0 two", "0 b  0 ", "10 b  0 ", "a 3 5", "7 b  0 ", "9 a user.a 0 v", "6 a b 0 ", "5 .  0 "}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("1 write(1<\\x61>, \"\\x62\", 1) = 1\n")
	f.Add("1 openat(AT_FDCWD<\\x2f\\x66>, \"\\x61\", O_RDWR|O_CREAT, 0600) = 3<\\x2f\\x66\\x2f\\x61>\n1 fsync(3<\\x2f\\x66\\x2f\\x61> <unfinished ...>\n1 <... fsync resumed>) = 0\n")
	f.Fuzz(func(t *testing.T, log string) {
		_, _ = parse(strings.NewReader(log), "/f")
	})
}
