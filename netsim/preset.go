package netsim

import (
	"strings"
	"time"
)

// A Preset is a kind of access network: both directions of the path from a client behind
// it to a server in the same region. For a server that is far away add to Delay.
//
// A preset is one plausible network of its kind, not an average of all. If a figure was
// measured, the comment says by whom; the other figures are judgement.
type Preset struct {
	Name     string // in lower case, for [FindPreset]
	About    string // one line
	Up, Down Link
}

// mbit is a million bits per second in bytes per second.
const mbit = 125_000

// WiFi is a laptop on a busy wireless network behind good broadband.
//
// Measured: on a campus, half of the packets needed more than 20 ms for the
// wireless hop and back (Pei et al., "WiFi can be the weakest link of round
// trip network latency in the wild", INFOCOM 2016,
// https://paperexplained.cn/articles/paper/detail/aadd9fa14b6597dd00f5d77157bad602709f7d33):
// the two jitters of 0 to 20 ms add up to this. Runs of losses follow a
// Gilbert–Elliott chain
// (https://paperexplained.cn/articles/paper/detail/cdc2da1b79d2fc8d020b8482d9035cebaa77a133).
// Judgement: 8 ms one way behind the access point, the share and length of
// losses, the rates and queues. The 10 % of packets that needed more than 100 ms are not
// in it: that is Congested.
func WiFi() Preset {
	return Preset{
		Name:  "wifi",
		About: "busy wireless network, good broadband",
		Up:    Link{Delay: 8 * time.Millisecond, Jitter: 20 * time.Millisecond, Loss: 0.005, Burst: 2, Rate: 20 * mbit, Queue: 256 << 10},
		Down:  Link{Delay: 8 * time.Millisecond, Jitter: 20 * time.Millisecond, Loss: 0.005, Burst: 2, Rate: 50 * mbit, Queue: 512 << 10},
	}
}

// LTE is a phone at rest with good 4G coverage.
//
// Measured: a mean round trip of 53.1 ms, 14.7 Mbit/s down and 13.6 up (Ofcom,
// late 2014, five British towns,
// http://4g5gworld.com/news/ofcom-147-mbps-average-lte-download-speed-uk).
// From a testing service's table for 4G: 0.2 % loss, 15 ms jitter up and 5 down
// (https://wiki.loadero.com/test-creation/participant-configuration/network-conditions/).
// The delays are chosen so that the mean is right. Judgement: the runs of losses and queues
// of a third of a second.
func LTE() Preset {
	return Preset{
		Name:  "4g",
		About: "phone at rest, good 4G coverage",
		Up:    Link{Delay: 21500 * time.Microsecond, Jitter: 15 * time.Millisecond, Loss: 0.002, Burst: 3, Rate: 13.6 * mbit, Queue: 560_000},
		Down:  Link{Delay: 21500 * time.Microsecond, Jitter: 5 * time.Millisecond, Loss: 0.002, Burst: 3, Rate: 14.7 * mbit, Queue: 600_000},
	}
}

// SlowLTE is a phone with poor 4G coverage.
//
// From Lighthouse's default, which it describes as the worst quarter of 4G and
// the best of 3G: a round trip of 150 ms, 1.6 Mbit/s down and 0.75 up, no loss
// (https://github.com/GoogleChrome/lighthouse/blob/main/docs/throttling.md).
// The means of the jitters are part of the 150 ms. Judgement: jitter, 1 % loss
// in runs, and queues of half a second.
func SlowLTE() Preset {
	return Preset{
		Name:  "slow4g",
		About: "phone, poor 4G coverage",
		Up:    Link{Delay: 60 * time.Millisecond, Jitter: 30 * time.Millisecond, Loss: 0.01, Burst: 3, Rate: 0.75 * mbit, Queue: 47_000},
		Down:  Link{Delay: 60 * time.Millisecond, Jitter: 30 * time.Millisecond, Loss: 0.01, Burst: 3, Rate: 1.6 * mbit, Queue: 100_000},
	}
}

// UMTS is a phone on 3G.
//
// From a testing service's table for 3G: 1.2 Mbit/s, 250 ms, 50 ms jitter, 0.5 % loss
// (https://wiki.loadero.com/test-creation/participant-configuration/network-conditions/),
// the latency is taken as a round trip that includes the means of the jitters. Judgement:
// runs of losses and queues of a second.
func UMTS() Preset {
	return Preset{
		Name:  "3g",
		About: "phone on 3G",
		Up:    Link{Delay: 100 * time.Millisecond, Jitter: 50 * time.Millisecond, Loss: 0.005, Burst: 2, Rate: 1.2 * mbit, Queue: 150_000},
		Down:  Link{Delay: 100 * time.Millisecond, Jitter: 50 * time.Millisecond, Loss: 0.005, Burst: 2, Rate: 1.2 * mbit, Queue: 150_000},
	}
}

// Train is 4G in a fast train: long round trips of large variance, losses in
// runs, and a gap whenever the train changes cells or goes through a tunnel.
//
// Measured: at 300 km/h round trips are longer than at rest and vary much (Xiao
// et al.,
// https://docplayer.net/amp/14151138-Concise-paper-tcp-performance-over-mobile-networks-in-high-speed-mobility-scenarios.html),
// more is lost ("A Longitudinal Measurement Study of TCP Performance and Behavior in 3G/4G
// Networks over High Speed Rails", 2017), and frequent handovers are one cause (Wang et
// al.,
// https://deepai.org/publication/an-active-passive-measurement-study-of-tcp-performance-over-lte-on-high-speed-rails).
// Judgement: every figure here; the sources give the direction only.
func Train() Preset {
	return Preset{
		Name:  "train",
		About: "4G in a fast train: a gap of 1 s every 20 s, losses in runs",
		Up:    Link{Delay: 40 * time.Millisecond, Jitter: 80 * time.Millisecond, Loss: 0.02, Burst: 5, Outage: time.Second, OutageEvery: 20 * time.Second, Rate: 3 * mbit, Queue: 190_000},
		Down:  Link{Delay: 40 * time.Millisecond, Jitter: 80 * time.Millisecond, Loss: 0.02, Burst: 5, Outage: time.Second, OutageEvery: 20 * time.Second, Rate: 8 * mbit, Queue: 500_000},
	}
}

// Satellite is a dish that follows low satellites, such as Starlink's.
//
// Measured: a median round trip of 50 ms, half of all between 40 and 60 ms, over
// many servers in Europe (UCLouvain and others, 2022,
// https://blog.apnic.net/2022/11/28/fact-checking-starlinks-performance-figures),
// which is the delay with the jitter; satellites are changed every 15 s (Mohan et al.,
// https://arxiv.org/abs/2310.09242), and losses of up to half of the packets come with that
// (Kassem et al., IMC 2022,
// https://openreview.net/forum?id=09EcD8pU0GD); up to 100 or 200 Mbit/s down
// are advertised. Judgement: a gap of 150 ms at each change, 0.5 % loss
// otherwise, 10 Mbit/s up, the queues.
func Satellite() Preset {
	return Preset{
		Name:  "satellite",
		About: "low satellites: a gap of 150 ms every 15 s",
		Up:    Link{Delay: 17500 * time.Microsecond, Jitter: 15 * time.Millisecond, Loss: 0.005, Burst: 3, Outage: 150 * time.Millisecond, OutageEvery: 15 * time.Second, Rate: 10 * mbit, Queue: 250_000},
		Down:  Link{Delay: 17500 * time.Microsecond, Jitter: 15 * time.Millisecond, Loss: 0.005, Burst: 3, Outage: 150 * time.Millisecond, OutageEvery: 15 * time.Second, Rate: 100 * mbit, Queue: 2_500_000},
	}
}

// Geostationary is a dish that points at one high satellite.
//
// Physics: 240 to 279 ms up and down again, each way
// (http://prisma-eng.it/html_eng/lsu_sat_delay.html). A minimum of about 600 ms
// for a round trip is what Michel et al. report of such services ("A First Look
// at Starlink Performance", IMC 2022); the subscription that they compared with
// had 100 Mbit/s down and 10 up
// (https://blog.apnic.net/2022/11/28/fact-checking-starlinks-performance-figures).
// Judgement: jitter, loss, queues.
func Geostationary() Preset {
	return Preset{
		Name:  "geo",
		About: "one high satellite: a round trip of 600 ms",
		Up:    Link{Delay: 300 * time.Millisecond, Jitter: 20 * time.Millisecond, Loss: 0.005, Burst: 3, Rate: 10 * mbit, Queue: 500_000},
		Down:  Link{Delay: 300 * time.Millisecond, Jitter: 20 * time.Millisecond, Loss: 0.005, Burst: 3, Rate: 100 * mbit, Queue: 5_000_000},
	}
}

// Congested is a shared line on which others leave little rate, with a queue of a second.
//
// Known: the queues of consumer equipment are far too long, which is called bufferbloat
// (https://gettys.wordpress.com/2010/12/06/whose-house-is-of-glasse-must-not-throw-stones-at-another/).
// Judgement: every figure here.
func Congested() Preset {
	return Preset{
		Name:  "congested",
		About: "little rate, a queue of a second, much jitter",
		Up:    Link{Delay: 15 * time.Millisecond, Jitter: 60 * time.Millisecond, Loss: 0.02, Burst: 3, Rate: 1 * mbit, Queue: 125_000},
		Down:  Link{Delay: 15 * time.Millisecond, Jitter: 60 * time.Millisecond, Loss: 0.02, Burst: 3, Rate: 2 * mbit, Queue: 250_000},
	}
}

// Presets returns all presets.
func Presets() []Preset {
	return []Preset{WiFi(), LTE(), SlowLTE(), UMTS(), Train(), Satellite(), Geostationary(), Congested()}
}

// FindPreset returns the preset with a name, in upper or lower case; "lte" is another name
// of "4g". It returns false if there is none.
func FindPreset(name string) (Preset, bool) {
	if strings.EqualFold(name, "lte") {
		return LTE(), true
	}
	for _, p := range Presets() {
		if strings.EqualFold(name, p.Name) {
			return p, true
		}
	}
	return Preset{}, false
}
