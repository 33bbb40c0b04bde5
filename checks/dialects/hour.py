"""An hour's job, waited out by a vendor's own SDK in seconds: the server's clock is advanced beside it.
usage: hour.py ORIGIN, where the server runs with `--clock manual`"""
import json, sys, threading, time, urllib.request
sys.path.append(sys.path.pop(0))
import replicate
origin = sys.argv[1].rstrip('/')
client = replicate.Client(api_token='r8_test', base_url=origin + '/dialects/replicate')
def advance(seconds):
    body = json.dumps({'seconds': seconds}).encode()
    urllib.request.urlopen(urllib.request.Request(origin + '/v1/clock/advance', body, {'content-type': 'application/json'})).read()
begun = time.monotonic()
job = client.predictions.create('owner/name:0123abcd', input={'prompt': 'abide:duration=1h'})
threading.Timer(1, advance, [3600]).start()
job.wait()
took = time.monotonic() - begun
assert job.status == 'succeeded' and job.metrics['predict_time'] == 3600 and took < 10, (job.status, job.metrics, took)
print(f'ok   an hour\'s job was waited for in {took:.1f} s  — {job.created_at} → {job.completed_at}')
