package seg_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// orthanc starts an archive with a C-STORE port and an HTTP port, for this
// machine alone. Orthanc takes no port 0, so another process may be quicker:
// then it is tried again.
func orthanc(t *testing.T) (web, dicomPort string) {
	t.Helper()
	program, err := exec.LookPath("Orthanc")
	if err != nil {
		t.Skip("Orthanc is not installed, so no archive stores the DICOM SEG: Debian has it in orthanc")
	}
	for range 5 {
		ports := []string{freePort(t), freePort(t)}
		dir := t.TempDir()
		config, err := json.Marshal(map[string]any{
			"StorageDirectory": dir, "IndexDirectory": dir, "HttpPort": json.Number(ports[0]), "DicomPort": json.Number(ports[1]),
			"RemoteAccessAllowed": false, "AuthenticationEnabled": false, "DicomAlwaysAllowStore": true, "DicomCheckCalledAet": false,
		})
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "orthanc.json")
		if err := os.WriteFile(path, config, 0o600); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		cmd := exec.CommandContext(t.Context(), program, path)
		cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &log, &log, time.Minute
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { cmd.Wait(); close(ended) }()
		web = "http://127.0.0.1:" + ports[0]
		if awaitWeb(t, web, ended) {
			t.Cleanup(func() {
				cmd.Process.Signal(os.Interrupt)
				<-ended
			})
			return web, ports[1]
		}
		cmd.Process.Kill()
		<-ended
		t.Logf("Orthanc did not start:\n%s", log.Bytes())
	}
	t.Fatal("Orthanc did not start")
	return "", ""
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// awaitWeb waits until the archive answers; false if it ended before.
func awaitWeb(t *testing.T, web string, ended <-chan struct{}) bool {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		if response, err := http.Get(web + "/system"); err == nil {
			response.Body.Close()
			return response.StatusCode == http.StatusOK
		}
		select {
		case <-ended:
			return false
		case <-deadline:
			return false
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func get(t *testing.T, url string) []byte {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", url, response.Status, err)
	}
	return body
}

func TestAnArchiveStoresItInTheStudyOfItsImagesAndGivesItBack(t *testing.T) {
	storescu, err := exec.LookPath("storescu")
	if err != nil {
		t.Skip("storescu is not installed, so the DICOM SEG is sent nowhere: Debian has it in dcmtk")
	}
	web, port := orthanc(t)
	labels, origin := segmented(t, "d-sagittal")
	file := written(t, labels, origin, options)
	path := filepath.Join(t.TempDir(), "seg.dcm")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	images := filepath.Join("..", "..", "testdata", "scans", "inputs", "d-sagittal")
	if out, err := exec.CommandContext(t.Context(), storescu, "-R", "+sd", "+r", "127.0.0.1", port, images, path).CombinedOutput(); err != nil {
		t.Fatalf("storescu: %v\n%s", err, out)
	}
	var studies, instances []string
	var series []struct {
		MainDicomTags struct{ Modality string }
		Instances     []string
	}
	for at, into := range map[string]any{"/studies": &studies, "/series?expand": &series} {
		if err := json.Unmarshal(get(t, web+at), into); err != nil {
			t.Fatal(err)
		}
	}
	counts := make(map[string]int)
	for _, s := range series {
		counts[s.MainDicomTags.Modality] = len(s.Instances)
		if s.MainDicomTags.Modality == "SEG" {
			instances = s.Instances
		}
	}
	if len(studies) != 1 || fmt.Sprint(counts) != fmt.Sprint(map[string]int{"MR": len(origin.Slices), "SEG": 1}) {
		t.Fatalf("the archive has %d studies and %v", len(studies), counts)
	}
	// On their way by C-STORE sequences get other delimiters, and the rest stays.
	pixels := file[len(file)-len(labels.Values)*3/8:]
	if back := get(t, web+"/instances/"+instances[0]+"/file"); !bytes.HasSuffix(back, pixels) {
		t.Error("the archive gives back other pixels than it got by C-STORE")
	}
	// By HTTP nothing changes.
	without := options
	without.Deidentify = true
	file = written(t, labels, origin, without)
	response, err := http.Post(web+"/instances", "application/dicom", bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var stored struct{ ID, Status string }
	if err := json.NewDecoder(response.Body).Decode(&stored); err != nil || stored.Status != "Success" {
		t.Fatalf("stored by HTTP: %+v, %v", stored, err)
	}
	if back := get(t, web+"/instances/"+stored.ID+"/file"); !bytes.Equal(back, file) {
		t.Errorf("the archive gives back other bytes: %d for %d", len(back), len(file))
	}
}
