package dicomnet_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/brainseg/brainseg/internal/device/dicomnet"
)

var scansFolder = filepath.Join("..", "..", "volume", "testdata", "scans", "inputs")

// judge finds one of DCMTK's programs.
func judge(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("%s is not installed, so nobody else speaks DICOM with this package: Debian has it in dcmtk", program)
	}
	return path
}

func port(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

func TestDCMTKSendsInEachTransferSyntaxThatIsTaken(t *testing.T) {
	echoscu, storescu := judge(t, "echoscu"), judge(t, "storescu")
	k := &keeper{}
	syntaxes := []string{explicitLE, implicitLE, "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.51"}
	address, _ := serve(t, dicomnet.Server{SOPClasses: []string{mrClass, "1.2.840.10008.5.1.4.1.1.4.1"}, TransferSyntaxes: syntaxes, Storer: k})
	if out, err := exec.CommandContext(t.Context(), echoscu, "-aec", "BRAINSEG", "127.0.0.1", port(address)).CombinedOutput(); err != nil {
		t.Errorf("echoscu: %v\n%s", err, out)
	}
	if out, err := exec.CommandContext(t.Context(), echoscu, "127.0.0.1", port(address)).CombinedOutput(); err == nil || !bytes.Contains(out, []byte("Called AE Title Not Recognized")) {
		t.Errorf("echoscu by another title: %v\n%s", err, out)
	}
	for _, tt := range []struct {
		input, option string
		want          string
	}{
		{"d-sagittal", "-xe", explicitLE},
		{"d-sagittal", "-xi", implicitLE},
		{"d-big-endian-8", "-xb", "1.2.840.10008.1.2.2"},
		{"d-deflated", "-xd", "1.2.840.10008.1.2.1.99"},
		{"d-rle", "-xr", "1.2.840.10008.1.2.5"},
		{"d-jpeg-lossless-signed", "-xs", "1.2.840.10008.1.2.4.70"},
		{"d-jpeg-extended", "-xx", "1.2.840.10008.1.2.4.51"},
	} {
		before := len(k.list())
		cmd := exec.CommandContext(t.Context(), storescu, "-aec", "BRAINSEG", tt.option, "127.0.0.1", port(address), firstFile(t, filepath.Join(scansFolder, tt.input)))
		cmd.Env = append(os.Environ(), "TCP_NODELAY=1") // without it DCMTK waits for 40 ms with each object
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s: storescu: %v\n%s", tt.input, err, out)
		}
		got := k.list()
		if len(got) == before {
			t.Errorf("%s: nothing was stored", tt.input)
			continue
		}
		if last := got[len(got)-1]; last.TransferSyntax != tt.want {
			t.Errorf("%s: sent in %s, want %s", tt.input, last.TransferSyntax, tt.want)
		}
	}
}

func TestDCMTKTakesWhatIsSent(t *testing.T) {
	storescp := judge(t, "storescp")
	folder := t.TempDir()
	file, err := dicomnet.OpenFile(firstFile(t, filepath.Join(scansFolder, "d-sagittal")))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	data, err := io.ReadAll(file.Data)
	if err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	var log bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, storescp, "-d", "-pm", "+xa", "-pdu", "4096", "-aet", "PACS", "-od", folder, port(address))
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cancel(); cmd.Wait() }()
	r := dicomnet.Requestor{CallingTitle: "BRAINSEG", CalledTitle: "PACS", Address: address}
	var a *dicomnet.Association
	await(t, func() bool {
		a, err = r.Dial(t.Context(), proposals[0], dicomnet.Proposal{SOPClass: file.SOPClass, TransferSyntaxes: []string{file.TransferSyntax}})
		return err == nil
	})
	if err := a.Echo(t.Context()); err != nil {
		t.Error(err)
	}
	if status, err := a.Store(t.Context(), file.SOPClass, file.SOPInstance, file.TransferSyntax, bytes.NewReader(data)); err != nil || status != dicomnet.Success {
		t.Errorf("%v, %v", status, err)
	}
	if err := a.Release(t.Context()); err != nil {
		t.Error(err)
	}
	back, err := dicomnet.OpenFile(firstFile(t, folder))
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	got, err := io.ReadAll(back.Data)
	if err != nil || back.SOPInstance != file.SOPInstance || len(got) < len(data)/2 {
		t.Errorf("storescp has %d bytes of %d: %v", len(got), len(data), err)
	}
}

func firstFile(t *testing.T, folder string) string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil || len(list) == 0 {
		t.Fatalf("no file in %s: %v", folder, err)
	}
	return list[0]
}

// freeAddress is one that nobody listens on, for programs that take no port 0.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestDCMTKReadsAsImplicitWhatWasExplicit(t *testing.T) {
	dcmconv, dcmdump := judge(t, "dcmconv"), judge(t, "dcmdump")
	for _, input := range []string{"d-sagittal", "d-enhanced-shuffled"} {
		folder := t.TempDir()
		explicit := filepath.Join(folder, "explicit.dcm")
		if out, err := exec.CommandContext(t.Context(), dcmconv, "+te", "-e", firstFile(t, filepath.Join(scansFolder, input)), explicit).CombinedOutput(); err != nil {
			t.Fatalf("dcmconv: %v\n%s", err, out)
		}
		f, err := dicomnet.OpenFile(explicit)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		out := bytes.NewBuffer(dicomnet.FileHeader(dicomnet.StoreRequest{SOPClass: f.SOPClass, SOPInstance: f.SOPInstance, TransferSyntax: implicitLE, CallingTitle: "PEER"}))
		if err := dicomnet.Implicit(out, f.Data); err != nil {
			t.Fatal(err)
		}
		implicit := filepath.Join(folder, "implicit.dcm")
		if err := os.WriteFile(implicit, out.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		var dumps [2]string
		for i, path := range []string{explicit, implicit} {
			raw, err := exec.CommandContext(t.Context(), dcmdump, "-q", "+L", path).CombinedOutput()
			if err != nil {
				t.Fatalf("dcmdump: %v\n%s", err, raw)
			}
			_, dumps[i], _ = strings.Cut(string(raw), "# Dicom-Data-Set")
			_, dumps[i], _ = strings.Cut(dumps[i], "\n") // the transfer syntax
			_, dumps[i], _ = strings.Cut(dumps[i], "\n")
		}
		if dumps[0] != dumps[1] || len(dumps[0]) < 1000 {
			t.Errorf("%s reads otherwise:\n%.3000s\n%.3000s", input, dumps[0], dumps[1])
		}
	}
	if err := dicomnet.Implicit(io.Discard, bufio.NewReader(strings.NewReader("\x08\x00\x05\x00SQ\x00\x00\x08\x00\x00\x00\xfe\xff\x00\xe0\x00\x00\x00\x00"))); err == nil {
		t.Error("a sequence with a stated length is converted, and its length would be wrong")
	}
}

// certificate makes a certificate of its own authority, and its key, for
// 127.0.0.1.
func certificate(t *testing.T, folder, name string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(folder, name+".pem"), filepath.Join(folder, name+".key")
	for path, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

func TestDCMTKCallsByTLSWithACertificate(t *testing.T) {
	echoscu := judge(t, "echoscu")
	folder := t.TempDir()
	ours, oursKey := certificate(t, folder, "ours")
	theirs, theirsKey := certificate(t, folder, "theirs")
	stranger, strangerKey := certificate(t, folder, "stranger")
	pair, err := tls.LoadX509KeyPair(ours, oursKey)
	if err != nil {
		t.Fatal(err)
	}
	peers := x509.NewCertPool()
	raw, err := os.ReadFile(theirs)
	if err != nil {
		t.Fatal(err)
	}
	peers.AppendCertsFromPEM(raw)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, dicomnet.Server{}, tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: peers, ClientAuth: tls.RequireAndVerifyClientCert}))
	call := func(arguments ...string) error {
		out, err := exec.CommandContext(t.Context(), echoscu, append(arguments, "-aec", "BRAINSEG", "127.0.0.1", port(l.Addr().String()))...).CombinedOutput()
		if err != nil {
			t.Logf("%v: %s", arguments, out)
		}
		return err
	}
	if err := call("+tls", theirsKey, theirs, "+cf", ours); err != nil {
		t.Errorf("a peer with a certificate: %v", err)
	}
	if call("+tls", strangerKey, stranger, "+cf", ours) == nil || call("+tla", "+cf", ours) == nil || call() == nil {
		t.Error("a peer with another certificate, without one or without TLS gets through")
	}
	client, err := tls.LoadX509KeyPair(theirs, theirsKey)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if raw, err = os.ReadFile(ours); err != nil {
		t.Fatal(err)
	}
	roots.AppendCertsFromPEM(raw)
	r := requestor(l.Addr().String())
	r.TLS = &tls.Config{Certificates: []tls.Certificate{client}, RootCAs: roots}
	a, err := r.Dial(t.Context(), proposals[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Echo(t.Context()); err != nil {
		t.Error(err)
	}
	if err := a.Release(t.Context()); err != nil {
		t.Error(err)
	}
}
