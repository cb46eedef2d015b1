package godwit

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/dtls"
)

// LoadKeys reads the DTLS certificate of a server and the key of its invites from a file of PEM blocks:
// CERTIFICATE, PRIVATE KEY and GODWIT INVITE KEY. If there is no such file it makes both and writes the
// file, which only its owner can read. Several servers may read one file. A file that others can read is an
// error, except on Windows, and except with the mode 0440, which a file of a Secret of Kubernetes has. No client looks at the end of the certificate's validity: clients compare its
// fingerprint.
func LoadKeys(name string) (*dtls.Certificate, *auth.InviteKey, error) {
	b, err := readKeys(name)
	if errors.Is(err, fs.ErrNotExist) {
		if err = makeKeys(name); err == nil {
			b, err = readKeys(name) // another process may have been faster
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("godwit: the file of keys: %w", err)
	}
	c, err := dtls.ParseCertificatePEM(b)
	if err != nil {
		return nil, nil, fmt.Errorf("godwit: the file of keys %s: %w", name, err)
	}
	k, err := auth.ParseInviteKey(b)
	if err != nil {
		return nil, nil, fmt.Errorf("godwit: the file of keys %s: %w", name, err)
	}
	return c, k, nil
}

// ofSecret is the mode of a file of a Secret of Kubernetes for a program that is not root: the file belongs to root, and the
// program is in its group. No program makes such a file by mistake.
const ofSecret = 0o440

func readKeys(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if m := info.Mode().Perm(); m&0o077 != 0 && m != ofSecret && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("%s has the mode %04o, so others can read the keys: use chmod 600", name, m)
	}
	var b bytes.Buffer
	_, err = b.ReadFrom(f)
	return b.Bytes(), err
}

// makeKeys writes a new file. It does nothing if there is one now.
func makeKeys(name string) error {
	c, err := dtls.GenerateCertificate(time.Now())
	if err != nil {
		return err
	}
	k, err := auth.NewInviteKey(rand.Reader)
	if err != nil {
		return err
	}
	b, err := c.PEM()
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*") // with the mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(b, k.PEM()...))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err = os.Link(f.Name(), name); err == nil || errors.Is(err, fs.ErrExist) {
		return nil
	}
	return os.Rename(f.Name(), name) // a file system without links
}

// setKeys sets the certificate and the key of invites from KeyFile.
func (c *Config) setKeys() error {
	if c.KeyFile == "" {
		return nil
	}
	cert, key, err := LoadKeys(c.KeyFile)
	if err != nil {
		return err
	}
	if c.RTC.Certificate == nil {
		c.RTC.Certificate = cert
	}
	if c.Invites == nil {
		c.Invites = key
	}
	return nil
}
