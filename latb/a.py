import subprocess,sys
x=bytearray(300_000_000)
for i in range(0,len(x),4096): x[i]=1
subprocess.run([sys.executable,"-P","-c","import resource;print('maxrss',resource.getrusage(resource.RUSAGE_SELF).ru_maxrss);print([l for l in open('/proc/self/status') if l.startswith(('VmHWM','VmRSS','VmSwap'))]);print(open('/proc/self/statm').read())"])
