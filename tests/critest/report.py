#!/usr/bin/env python3
"""Holds a critest report against the lists of specs that have passed once.

    report.py JUNIT LIST... [--update] [--partial] [--at-least N] [--also-failed N]

A listed spec that does not pass is a failure. --update adds specs that pass to the last list and never takes one away;
--partial is for runs of some specs only; that fewer than N pass (--at-least) means that some have other names now, and is a
failure, too. Ends with "counted N passed, N failed".
"""
import argparse, os, sys, xml.etree.ElementTree as ET


def read(report):
    """Spec name -> (passed | failed | skipped | left out, message)."""
    specs = {}
    for case in ET.parse(report).iter('testcase'):
        name = case.get('name')
        if not name.startswith('[It] '):
            continue                    # set-up and tear-down of the suite
        state, message = 'passed', ''
        for tag in ('failure', 'error', 'skipped'):
            found = case.find(tag)
            if found is not None:
                state = 'skipped' if tag == 'skipped' else 'failed'
                message = ' '.join(((found.get('message') or '') + ' ' + (found.text or '')).split())
        if state == 'skipped' and not message.removeprefix('skipped').strip(' -'):
            state = 'left out'          # benchmarks, and what a focus excludes
        specs[name.removeprefix('[It] ')] = state, message
    return specs


def read_list(path):
    if not os.path.exists(path):
        return set()
    return {line.strip() for line in open(path) if line.strip() and not line.startswith('#')}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('report')
    parser.add_argument('lists', nargs='+')
    parser.add_argument('--update', action='store_true')
    parser.add_argument('--partial', action='store_true')
    parser.add_argument('--at-least', type=int, default=0)
    parser.add_argument('--also-failed', type=int, default=0)
    args = parser.parse_args()
    specs = read(args.report)
    listed = set().union(*map(read_list, args.lists))
    last = args.lists[-1]
    by_state = {}
    for name, (state, _) in specs.items():
        by_state.setdefault(state, set()).add(name)
    passed, failed, skipped = (by_state.get(state, set()) for state in ('passed', 'failed', 'skipped'))
    ran = passed | failed | skipped
    lost = {name for name in listed - passed if not args.partial or name in ran}
    for name in sorted(lost):
        state, message = specs.get(name, ('missing', ''))
        print(f'LOST      {name}: {state} {message[:400]}')
    for name in sorted(failed - lost):
        print(f'NOT YET   {name}\n          {specs[name][1][:300]}')
    for name in sorted(skipped - lost):
        print(f'SKIPPED   {name}\n          {specs[name][1][:160]}')
    new = passed - listed
    for name in sorted(new):
        print(f'NEW       {name}')
    if args.update and new:
        names = read_list(last) | new
        with open(last, 'w') as out:
            out.write('# Specs of critest that pass. This list only grows (UPDATE=1 tests/critest/run.sh).\n')
            out.writelines(name + '\n' for name in sorted(names))
    elif new:
        print(f'{len(new)} specs pass for the first time: UPDATE=1 adds them to {os.path.basename(last)}')
    print(f'{len(ran)} specs: {len(passed)} pass, {len(failed)} fail, {len(skipped)} are skipped; '
          f'{len(listed)} are listed, {len(lost)} of them lost')
    bad = len(lost) + args.also_failed
    if not ran:
        print('no spec ran: none has such a name')
        bad += 1
    if len(passed) < args.at_least:
        print(f'{args.at_least} specs were to pass: do some have other names?')
        bad += 1
    print(f'counted {len(passed)} passed, {bad} failed')
    sys.exit(bad != 0)


main()
