import sys; sys.path.insert(0,"/work/main/Testing/slicer")
from test_sequences import *
import time
def test_perf(a_slicer, a_scene):
    n=100
    frames=[np.kron(f, np.ones((1,8,8),np.int16)) for f in cine.beating((1,64,64), n)]
    vol=cine.add_sequence(a_scene, frames)
    user=through_time(a_slicer, vol)
    ws=user.workspace
    user.press("drawBox"); user.click(4,(60,60),(400,400)); user.settle()
    for name in ("fingerprint",):
        t=time.perf_counter(); ws.volume.fingerprint(); print("PERF fingerprint", time.perf_counter()-t)
    t=time.perf_counter(); ws.volume.snapshotLater(); print("PERF snapshotLater", time.perf_counter()-t)
    sid=user.segment_id
    t=time.perf_counter(); ws.segmentation.stamp(sid); print("PERF stamp", time.perf_counter()-t)
    w=type(ws).writeModelSlice; T=[]
    def spy(self,*a):
        t=time.perf_counter(); r=w(self,*a); T.append(time.perf_counter()-t); return r
    type(ws).writeModelSlice=spy
    tick=user.logic.tick; K=[]
    def tk():
        t=time.perf_counter(); tick(); K.append(time.perf_counter()-t)
    user.logic.tick=tk
    t=time.perf_counter(); user.run(); print("PERF run", time.perf_counter()-t)
    user.settle()
    type(ws).writeModelSlice=w
    print("PERF write median/max", np.median(T), max(T), len(T)); print("PERF tick max", max(K))
    t=time.perf_counter(); user.view.refresh(); print("PERF refresh", time.perf_counter()-t)
    t=time.perf_counter(); ws.promptedIndices(sid); print("PERF prompted", time.perf_counter()-t)
    t=time.perf_counter(); user.view.goToSlice(50); print("PERF goto", time.perf_counter()-t)
    assert 0
