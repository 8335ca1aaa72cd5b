package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/cli/command"
	"github.com/brainseg/brainseg/internal/device/dicomnode"
	"github.com/brainseg/brainseg/internal/device/scans"
	"github.com/brainseg/brainseg/internal/segmentation"
	"github.com/brainseg/brainseg/internal/volume"
)

type dicomFlags struct {
	dicomnode.Settings
	out        string
	overlay    bool
	sr         bool
	deidentify bool
	model      string
	library    string
	workers    int
}

func dicomCommand() *cobra.Command {
	var f dicomFlags
	cmd := &cobra.Command{
		Use:   "dicom --out DIR",
		Short: "Receive DICOM series by C-STORE, segment each, and return DICOM SEG",
		Long: "Run a DICOM node until it is interrupted. It takes MR images by C-STORE (and answers C-ECHO), segments each series when nothing\n" +
			"has come for a while, writes the results to DIR as \"brainseg volume --seg\" does, and returns the DICOM Segmentation object to a\n" +
			"node by C-STORE, or to a service by STOW-RS. What was received and not worked on outlives a kill and a power cut.\n" +
			"Results are called after hashes of UIDs; nothing of a header is logged. A port or a node beyond this machine takes TLS or --plaintext.",
		Example: "  brainseg dicom --out out --return PACS@127.0.0.1:4242\n" +
			"  brainseg dicom --listen 0.0.0.0:2762 --tls-cert node.pem --tls-key node.key --tls-ca hospital.pem --caller SCANNER1 \\\n" +
			"      --out out --stow https://pacs.example/dicom-web",
		Args: command.Arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			logger := newLogger(cmd.OutOrStdout(), zap.NewAtomicLevel())
			defer logger.Sync()
			return f.run(cmd.Context(), logger)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.Listen, "listen", "127.0.0.1:11112", "HOST:PORT on which peers call")
	flags.StringVar(&f.Title, "aet", "BRAINSEG", "our application entity title")
	flags.StringVar(&f.out, "out", "", "folder for the results")
	flags.StringVar(&f.Folder, "spool", "", "folder for what was received and not worked on (default: DIR/spool)")
	flags.StringArrayVar(&f.Callers, "caller", nil, "title of a peer that may call (can be repeated; default: any)")
	flags.StringArrayVar(&f.From, "from", nil, "address or network, such as 10.1.2.0/24, from which peers may call (can be repeated; default: any)")
	flags.IntVar(&f.Associations, "associations", 8, "associations at the same time")
	flags.DurationVar(&f.Quiet, "quiet", 30*time.Second, "a series is complete when nothing has come for this long")
	flags.DurationVar(&f.Keep, "keep", 24*time.Hour, "how long received images, and results that were returned, are kept after that")
	flags.Int64Var(&f.MaxBytes, "max-bytes", 8<<30, "bytes of received images")
	flags.StringVar(&f.Return, "return", "", "TITLE@HOST:PORT of the node to which results go by C-STORE")
	flags.BoolVar(&f.ReturnTLS, "return-tls", false, "call that node by TLS")
	flags.StringVar(&f.STOW, "stow", "", "URL of the service to which results go by STOW-RS, without /studies")
	flags.StringVar(&f.Authorization, "stow-authorization", "", "file with the value of the Authorization header for that service")
	flags.StringVar(&f.Certificates.Certificate, "tls-cert", "", "our certificate (PEM): peers call by TLS")
	flags.StringVar(&f.Certificates.Key, "tls-key", "", "its key (PEM)")
	flags.StringVar(&f.Certificates.Authority, "tls-ca", "", "certificate (PEM) of who signs peers' certificates, which then are required")
	flags.BoolVar(&f.Plaintext, "plaintext", false, "exchange images with other machines in the clear")
	flags.BoolVar(&f.overlay, "overlay", false, "return the slices with the tissues in colour too, a DICOM Secondary Capture")
	flags.BoolVar(&f.sr, "sr", false, "return the volumes too, a DICOM Structured Report")
	flags.BoolVar(&f.deidentify, "deidentify", false, "leave patient and study out of DICOM objects; UIDs stay")
	command.ModelFlags(flags, &f.model, &f.library)
	flags.IntVar(&f.workers, "workers", runtime.NumCPU(), "slices in work at the same time")
	return cmd
}

// run has the node accept series until ctx ends.
func (f *dicomFlags) run(ctx context.Context, logger *zap.Logger) error {
	if f.out == "" {
		return command.Misused(errors.New("--out DIR is required"))
	}
	var err error
	if f.out, err = filepath.Abs(f.out); err != nil {
		return err
	}
	if f.Folder == "" {
		f.Folder = filepath.Join(f.out, "spool")
	}
	opts, encryption, err := f.Options()
	if err != nil {
		return command.Misused(err)
	}
	// As for the command volume.
	defer debug.SetGCPercent(debug.SetGCPercent(20))
	network, err := segmentation.Open(f.model, segmentation.Options{Library: f.library})
	if err != nil {
		return fmt.Errorf("open the model: %w", err)
	}
	defer network.Close()
	returned := []scans.Kind{scans.SEG}
	if f.overlay {
		returned = append(returned, scans.Overlay)
	}
	if f.sr {
		returned = append(returned, scans.SR)
	}
	kinds := slices.Concat(scans.Usual, returned)
	if err := scans.Check(kinds, network.Manifest()); err != nil {
		return command.Misused(fmt.Errorf("--model: %w", err))
	}
	if err := os.MkdirAll(f.out, 0o750); err != nil {
		return fmt.Errorf("make the folder for results: %w", err)
	}
	opts.Logger = logger
	opts.Process = func(ctx context.Context, w dicomnode.Work) ([]string, error) {
		result, err := scans.Segment(ctx, w.Folder, network, scans.Options{Kinds: kinds, Deidentify: f.deidentify, Workers: f.workers, Version: Version})
		var refusal *volume.Refusal
		if errors.As(err, &refusal) {
			return nil, &dicomnode.RefusedError{Code: string(refusal.Code), Reason: refusal.Error()}
		}
		if err != nil {
			return nil, err
		}
		var paths []string
		for _, suffix := range scans.Suffixes(returned) {
			paths = append(paths, filepath.Join(f.out, w.Name+suffix))
		}
		return paths, result.WriteFolder(f.out, w.Name)
	}
	if opts.Return != nil { // the folder is not where people look for results
		opts.Removed = func(name string) { f.remove(name, kinds, logger) }
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", f.Listen)
	if err != nil {
		return fmt.Errorf("open the DICOM port: %w", err)
	}
	logger.Info("DICOM node listens", zap.String("title", f.Title), zap.Stringer("address", listener.Addr()), zap.Bool("tls", encryption != nil))
	if encryption != nil {
		listener = tls.NewListener(listener, encryption)
	}
	return dicomnode.Run(ctx, listener, opts)
}

// remove removes results that were returned, with the images of which they were
// made.
func (f *dicomFlags) remove(name string, kinds []scans.Kind, logger *zap.Logger) {
	for _, suffix := range scans.Suffixes(kinds) {
		if err := os.Remove(filepath.Join(f.out, name+suffix)); err != nil && !errors.Is(err, os.ErrNotExist) {
			logger.Error("removing a result failed", zap.Error(err))
		}
	}
}
